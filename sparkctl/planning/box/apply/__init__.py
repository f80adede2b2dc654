"""The differences between a box and a stack, and the order in which the stack is put into effect."""

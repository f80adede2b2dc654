"""What is done about memory: planned, fitted, sized, and what was measured."""

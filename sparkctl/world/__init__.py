"""The doors to the outside: the ports, what a container is to be, and the rooms of those who implement them."""

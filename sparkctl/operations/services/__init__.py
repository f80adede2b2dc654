"""What is done with services: started, joined, read and stopped."""

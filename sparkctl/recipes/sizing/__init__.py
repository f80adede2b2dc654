"""What a recipe takes of the memory: its flags as settings, the estimate, and what would be smaller."""

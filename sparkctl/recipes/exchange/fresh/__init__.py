"""A recipe from a model's own files: the reason of each line, and which lines are guesses."""

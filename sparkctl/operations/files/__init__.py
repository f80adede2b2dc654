"""What is done with the files of an operator: recipes, commands, models."""

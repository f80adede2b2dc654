"""Operations on the files of an operator: recipes, commands, models."""

"""A stand-in for the model file that mods replace."""

MARK = "gemma4 as the image has it"

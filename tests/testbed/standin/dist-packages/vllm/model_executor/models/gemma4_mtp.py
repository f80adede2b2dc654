"""A stand-in for the drafter's file that mods replace."""

MARK = "gemma4_mtp as the image has it"

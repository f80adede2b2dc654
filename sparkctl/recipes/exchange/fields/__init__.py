"""From a launch to a recipe: its keys, what stays over, and how its words differ from those of the source."""

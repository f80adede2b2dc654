"""From a launch to a recipe: its keys, the leftovers, and how its words differ from those of the source."""

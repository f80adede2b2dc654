"""The ground: errors, units, YAML with places, and the base of every declaration. It imports nothing else of ours."""

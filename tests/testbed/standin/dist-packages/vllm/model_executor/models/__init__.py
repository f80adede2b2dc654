"""Stand-in folder."""

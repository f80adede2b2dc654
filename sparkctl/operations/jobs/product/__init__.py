"""What a job made: looked at, described, given its name."""

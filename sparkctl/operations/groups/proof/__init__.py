"""The wait for a group that starts: its ranks looked at as one, and why it failed by all their logs."""

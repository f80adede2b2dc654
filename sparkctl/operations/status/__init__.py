"""What a running service does now."""

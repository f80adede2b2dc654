"""Commands about what runs."""

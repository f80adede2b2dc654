"""Commands about several Sparks."""

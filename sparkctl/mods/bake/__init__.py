"""An overlay mod out of what a community mod's script changed."""

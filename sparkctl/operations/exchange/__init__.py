"""What comes from other tools' files, and what goes into them."""

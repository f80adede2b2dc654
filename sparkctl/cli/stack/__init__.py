"""The commands of a whole stack."""

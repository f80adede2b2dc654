"""What is done with a whole stack."""

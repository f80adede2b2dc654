"""What the resident agent decides: which service is started again, when, and what an end meant. Pure."""

"""A recipe out of a model's own files: what each line follows from, and what of it is a guess."""

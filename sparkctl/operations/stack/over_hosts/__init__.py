"""A stack that several hosts run: one plan over all of them, one diff, one apply."""

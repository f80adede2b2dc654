"""Images and models brought to other hosts: what is missing where, how it gets there, and that it is the same."""

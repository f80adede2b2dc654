"""Words as a shell would make them of a text. Nothing is ever run."""

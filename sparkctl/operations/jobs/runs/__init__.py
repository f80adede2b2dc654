"""One run of a job: asked for, begun, watched, settled."""

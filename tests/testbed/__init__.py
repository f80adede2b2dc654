"""The testbed: a Docker Engine of its own, images to serve with, and a model of 300 KB. Standard library only."""

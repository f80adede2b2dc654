"""Compose files (compose-spec.io): each service that runs vLLM is a launch, and the others are leftovers."""

"""The commands about jobs: what runs once and makes a model."""

"""Carries out what the desk wants done, and reports events to the desk."""

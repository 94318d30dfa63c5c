"""Interventions: change one thing in how a model reads a text, and see what it was good for."""

"""Measures of a text, one a file."""

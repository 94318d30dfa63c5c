"""Panels of the Explore page: ways to look at one text that was read once."""

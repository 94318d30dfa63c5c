"""Runs of other engines, read from what those report: no model is needed."""

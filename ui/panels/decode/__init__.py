"""Panels of the Decode page: lanes with their steps, roads, where the model was unsure."""

"""Panels, a folder for each page: what is shown of a run, its controls, what it asks for."""

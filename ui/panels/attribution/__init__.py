"""Panels of the Why page: the text by what it did for one token, and the check."""

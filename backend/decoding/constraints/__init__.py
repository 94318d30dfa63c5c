"""Constraints that a decoded text keeps, one file each."""

"""Panels of the Speculate page: guesses checked at once, and drafters in a race."""

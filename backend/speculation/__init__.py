"""Speculative decoding: drafters, acceptance rules, and one loop that verifies."""

"""Strategies of decoding, one file each."""

"""Decoding: one model writes by several strategies, every decision recorded."""

"""Stored runs of one kind beside each other: aligned texts, and what differs at every place."""

"""Activation patching between two prompts, layer by layer and word by word."""

"""Responses with log probabilities, as OpenAI's API and those like it give them."""

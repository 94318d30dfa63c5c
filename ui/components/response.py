"""Recognise a response with log probabilities where a prompt is expected."""


def is_response(text: object) -> bool:
    """Return whether a text is a response with log probabilities, not a prompt."""
    return (
        isinstance(text, str)
        and text.lstrip().startswith(("{", "[", "data:"))
        and '"logprobs"' in text
    )

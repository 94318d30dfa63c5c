"""Tokens for texts that this project makes: how a text begins, and what may be drawn."""

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.structure import embedding_entries


def leading_bos(loaded: LoadedModel) -> list[int]:
    """Return the BOS token where the tokenizer begins every text with it."""
    bos = loaded.tokenizer.bos_token_id
    return [bos] if bos is not None and loaded.tokenizer("a")["input_ids"][:1] == [bos] else []


def ordinary_tokens(loaded: LoadedModel) -> list[int]:
    """Return the ids of all tokens that are neither special nor added."""
    special = {*loaded.tokenizer.all_special_ids, *loaded.tokenizer.added_tokens_decoder}
    entries = min(len(loaded.tokenizer), embedding_entries(loaded.model))
    return [key for key in range(entries) if key not in special]

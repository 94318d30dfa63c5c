"""Tokens for texts that this project makes: how a text begins, and what may be drawn."""

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.structure import embedding_entries


def leading_bos(loaded: LoadedModel) -> list[int]:
    """Return the BOS token where the tokenizer begins every text with it."""
    if loaded.tokenizer is None:
        return []
    bos = loaded.tokenizer.bos_token_id
    return [bos] if bos is not None and loaded.tokenizer("a")["input_ids"][:1] == [bos] else []


def ordinary_tokens(loaded: LoadedModel) -> list[int]:
    """Return the ids of all tokens that are neither special nor added.

    Of a model without its tokenizer, as ``tokenarium.apply`` is given one, only those are known to
    be special that its configuration names.
    """
    if loaded.tokenizer is None:
        config = loaded.model.config.get_text_config()
        named = (getattr(config, f"{name}_token_id", None) for name in ("bos", "eos", "pad"))
        known = {key for each in named for key in (each if isinstance(each, list) else [each])}
        return [key for key in range(embedding_entries(loaded.model)) if key not in known]
    special = {*loaded.tokenizer.all_special_ids, *loaded.tokenizer.added_tokens_decoder}
    entries = min(len(loaded.tokenizer), embedding_entries(loaded.model))
    return [key for key in range(entries) if key not in special]

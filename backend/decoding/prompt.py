"""The prompt of a decoding run: a text to be cut into tokens, or tokens that are known already."""

from collections.abc import Sequence

import numpy as np

from tokenarium.backend.decoding.request import DecodeRequest
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import Tokens, decode_each, tokenise


def prompt_of(request: DecodeRequest, loaded: LoadedModel, limit: int) -> Tokens:
    """Return the tokens that are continued.

    Args:
        request: with a text or messages, or with their ids as another run read them.
        loaded: the model.
        limit: most tokens.
    Raises: ValueError where they are too many, or an id is none of the model's.
    """
    if not request.prompt_ids:
        return tokenise(loaded, request, limit)
    ids = list(request.prompt_ids)
    if len(ids) > limit:
        raise ValueError(
            f"prompt_ids has {len(ids)} tokens, the limit is {limit}: branch at an earlier token"
        )
    refuse_unknown("prompt_ids", ids, loaded)
    texts = decode_each(loaded, ids)
    return Tokens(
        ids=ids,
        text=texts,
        offsets=np.zeros((len(ids), 2), np.int32),
        special=np.zeros(len(ids), np.bool_),
        dropped=0,
        notes=loaded.notes,
        source=request.text or str(loaded.tokenizer.decode(ids)),
        turn=np.full(len(ids), -1, np.int32),
        roles=(),
        control=np.zeros(len(ids), np.bool_),
    )


def refuse_unknown(name: str, ids: Sequence[int], loaded: LoadedModel) -> None:
    """Refuse ids that the model does not have.

    Args:
        name: of the field, for the words.
        ids: of tokens.
        loaded: the model.
    """
    vocabulary = int(loaded.model.config.get_text_config().vocab_size)
    if unknown := [token for token in ids if token >= vocabulary]:
        raise ValueError(
            f"{name}={unknown[0]} is no token of {loaded.name}, which has {vocabulary:,}: give ids "
            "below that"
        )

"""The words that policies, requests and results share; free of torch."""

from typing import Literal, NamedTuple, get_args

Label = Literal["nothing", "evict", "select", "mask", "reshape", "merge", "quantise"]
"""What is really done: memory freed, a subset read, pairs hidden, other dimensions, entries merged,
fewer bits."""
When = Literal["never", "prefill", "step"]
"""When entries are dropped: never, once after the prompt, or while decoding too."""
Scope = Literal["head", "layer", "model"]
"""What shares one set of kept tokens: nothing (each KV head its own), a layer, or all layers."""
Positions = Literal["original", "rolled", "capped"]
"""Where kept keys stand: where they stood, moved together, or no further away than a cap."""
Chooses = Literal["score", "recency", "chance"]
"""What decides beside protected tokens: their scores, their age, or nothing but chance."""
Reduction = Literal["mean", "max", "sum"]
"""How the scores of query heads that share a KV head are reduced to one."""
NullScores = Literal["same", "shuffled", "even", "drawn"]
"""What scores are where attention says nothing: the same, as the text does not matter; the mean of
those that compete, as any entry could have any of them; those of even attention, as the score is
linear in it; or the mean over draws of random attention."""
Measurement = Literal["probe", "corpus"]
"""Where the roles of heads come from: a probe of repeated random tokens, or texts of many kinds."""
Need = Literal[
    "keys", "values", "queries", "rotary", "rows", "attention", "surprisal", "random", "roles"
]
"""What a policy may ask to be given of a layer, beside plain numbers, positions and its own state:
keys and values of the entries; the queries of the step; how queries and keys turn with position;
the attention of the prompt's last queries, row by row; the attention of every decode step; the
surprisal of every token; the run's random numbers; what the model's heads usually do."""
NEEDS: frozenset[Need] = frozenset(get_args(Need))
CONTENT: frozenset[Need] = frozenset({"keys", "values", "queries", "rotary", "surprisal"})
"""Needs that only a text and a model can meet; the others the null model can meet too."""

LAYERS_ALIKE = 0.5
"""Mean cosine of two layers' entries below which they have little in common."""


class Protected(NamedTuple):
    """How many entries a policy never drops."""

    first: int = 0
    """First tokens of the text."""
    newest: int = 0
    """Newest entries."""

"""The words that policies, requests and results share; free of torch."""

from typing import Literal

Label = Literal["nothing", "evict", "select", "mask", "reshape", "merge"]
"""What is really done: memory freed, a subset read, pairs hidden, other dimensions, merged."""
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

"""The result of a trace, every quantity defined where it is declared.

L layers, H query heads, G key-value heads, T tokens, k alternatives, g tiles a side. A[i, j] is the
attention weight of query i on key j. Row t of a next-token quantity describes the distribution
after token t; surprisal and rank belong to token t itself.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

SINK = "Xiao et al., 2023, arXiv:2309.17453; Gu et al., 2024, arXiv:2410.10781"
A2SF = "Jo & Shin, 2024, arXiv:2407.20485"
MASSIVE = "Sun et al., 2024, arXiv:2402.17762"
LENS = "nostalgebraist, 2020; Belrose et al., 2023, arXiv:2303.08112"
VIG = "Vig & Belinkov, 2019, arXiv:1906.04284"


@dataclass(frozen=True)
class TraceResult(Result):
    """Everything measured while a model reads one text once."""

    schema_version: ClassVar[int] = 2
    oldest_readable: ClassVar[int] = 2

    token_ids: Integers = quantity(
        "token id", "T", "", "the tokenizer's number of token t", "Which vocabulary entry this is."
    )
    token_text: tuple[str, ...] = quantity(
        "token text",
        "T",
        "",
        "the token decoded alone; bytes that are no whole character as <0xNN>",
        "The piece of text this token stands for.",
    )
    offsets: Integers = quantity(
        "offsets",
        "T,2",
        "characters",
        "[start, stop) in code points of the input; start = stop for special tokens",
        "Where in your text this token stands.",
    )
    special: NDArray[np.bool_] = quantity(
        "special token",
        "T",
        "",
        "true where the tokenizer or a template added the token",
        "Added by the tokenizer, not typed by you.",
    )
    surprisal_nats: Floats = quantity(
        "surprisal",
        "T",
        "nats",
        "-ln p(token t | tokens before t); NaN for the first token",
        "How unexpected this token was to the model.",
        "Hale, 2001; Levy, 2008",
    )
    entropy_nats: Floats = quantity(
        "entropy",
        "T",
        "nats",
        "-sum_x p(x) ln p(x), p = the distribution after token t",
        "How undecided the model is about what comes next.",
        "Shannon, 1948",
    )
    varentropy_nats2: Floats = quantity(
        "varentropy",
        "T",
        "nats^2",
        "sum_x p(x) (-ln p(x) - entropy)^2",
        "How unevenly the doubt is spread: high when a few tokens compete with a long tail.",
        "Kontoyiannis & Verdu, 2014, doi:10.1109/TIT.2013.2291007",
    )
    rank: Integers = quantity(
        "rank",
        "T",
        "",
        "number of tokens more likely than token t before it came; ties break by id; -1 for the "
        "first token",
        "0 means the model's first guess was right.",
    )
    top_ids: Integers = quantity(
        "most likely next tokens", "T,k", "", "ids by falling p, ties by id", "What it expected."
    )
    top_probs: Floats = quantity(
        "their probabilities", "T,k", "", "p(x) after token t", "How strongly it expected them."
    )
    top_text: tuple[tuple[str, ...], ...] = quantity(
        "text of the most likely next tokens",
        "T,k",
        "",
        "each of top_ids decoded alone",
        "What it expected, as text.",
    )
    received_mass: Floats = quantity(
        "received attention",
        "L,H,T",
        "",
        "mean over queries i >= j of A[i, j], for key j",
        "How much attention later tokens pay to this one.",
        SINK,
    )
    sink_score: Floats = quantity(
        "sink score",
        "L,H",
        "",
        "received attention of position 0: mean over i of A[i, 0]",
        "How much of its attention a head parks on the first token.",
        SINK,
    )
    first_mass: Floats = quantity(
        "attention to the first token",
        "L,H,T",
        "",
        "A[i, 0], for query i; its mean over the first n queries is the sink score at length n",
        "How much this token looks at the first one.",
        SINK,
    )
    decayed_mass: Floats = quantity(
        "accumulated attention with forgetting",
        "L,H,F,T",
        "",
        "sum over queries i >= j of f^(T-1-i) A[i, j], for key j and each forgetting factor f",
        "Attention received, old attention counting less.",
        A2SF,
    )
    forgetting: tuple[float, ...] = quantity(
        "forgetting factors",
        "F",
        "",
        "the factors f of decayed_mass; 1 forgets nothing",
        "How fast old attention stops counting.",
        A2SF,
    )
    persistence: Floats = quantity(
        "persistence of pivotal tokens",
        "L,H,n-1",
        "",
        "queries in n equal runs; of the keys older than runs b-1 and b that run b can see, those "
        "are pivotal in a run whose mean attention is over 1.0001 times uniform attention, mean of "
        "1/(i+1) (1/w in a window of w keys); share of the keys pivotal in run b that were so in "
        "run b-1; NaN where there is none",
        "Whether the tokens that matter now go on to matter.",
        "Liu et al., 2023, arXiv:2305.17118; variant: whole-run thresholds",
    )
    persistence_chance: Floats = quantity(
        "persistence by chance",
        "L,H,n-1",
        "",
        "share of the keys older than runs b-1 and b that run b can see which were pivotal in run "
        "b-1: what persistence would be if the pivotal keys of run b were drawn at random",
        "The value that would mean nothing.",
    )
    attention_entropy_nats: Floats = quantity(
        "attention entropy",
        "L,H,T",
        "nats",
        "-sum_j A[i, j] ln A[i, j], for query i",
        "How widely a head looks from this token: 0 means at one token only.",
        "Clark et al., 2019, arXiv:1906.04341",
    )
    attention_distance: Floats = quantity(
        "attention distance",
        "L,H,T",
        "tokens",
        "sum_j A[i, j] (i - j), for query i",
        "How far back a head looks from this token, on average.",
        VIG,
    )
    previous_mass: Floats = quantity(
        "previous-token attention",
        "L,H",
        "",
        "mean over i >= 1 of A[i, i-1]; NaN for a text of one token",
        "How much a head looks at the token just before.",
        "Elhage et al., 2021, transformer-circuits.pub",
    )
    self_mass: Floats = quantity(
        "self attention share",
        "L,H",
        "",
        "mean over i of A[i, i]",
        "How much a head looks at the token itself.",
    )
    residual_norm: Floats = quantity(
        "residual norm",
        "L+1,T",
        "",
        "Euclidean norm of the residual stream entering layer l; entry L is before the final norm",
        "How large the token's running representation is; sinks often stand out.",
        MASSIVE,
    )
    residual_median: Floats = quantity(
        "median activation",
        "L+1,T",
        "",
        "median over dimensions of |h| (the lower of two middle ones), h = the residual stream "
        "entering layer l",
        "The size of an ordinary dimension.",
        MASSIVE,
    )
    residual_top_dims: Integers = quantity(
        "largest dimensions",
        "L+1,T,3",
        "",
        "the dimensions of the residual stream with the largest |h|, by falling |h|; -1 where the "
        "stream has fewer",
        "Which dimensions carry the peak; sinks share a few massive ones.",
        MASSIVE,
    )
    residual_top_values: Floats = quantity(
        "largest activations",
        "L+1,T,3",
        "",
        "h at residual_top_dims, with its sign",
        "How large they are; massive means over 100 and over 1,000 times the median.",
        MASSIVE,
    )
    key_norm: Floats = quantity(
        "key norm",
        "L,G,T",
        "",
        "Euclidean norm of the key as cached (after position encoding)",
        "Small keys attract or repel attention more weakly.",
        "Devoto et al., 2024, arXiv:2406.11430",
    )
    value_norm: Floats = quantity(
        "value norm",
        "L,G,T",
        "",
        "Euclidean norm of the value",
        "How much this token can add where it is attended to; sinks are often drained.",
        "Guo et al., 2024, arXiv:2410.13835",
    )
    attention_tiles_mean: Floats = quantity(
        "attention map, mean",
        "L,H,g,g",
        "",
        "mean of A[i, j] over the causal pairs (j <= i) of a tile; position i lies in tile "
        "floor(i g / T), g = min(T, tiles); NaN in tiles without a causal pair",
        "The attention map, pooled so that any length fits.",
    )
    attention_tiles_max: Floats = quantity(
        "attention map, highest",
        "L,H,g,g",
        "",
        "maximum of A[i, j] over the causal pairs of a tile; NaN in tiles without one",
        "The same map, showing single strong links that a mean would hide.",
    )
    lens_ids: Integers | None = quantity(
        "logit lens",
        "L+1,T",
        "",
        "argmax of the unembedding of the final norm of the residual stream; entry L is the model "
        "itself",
        "What the model would say if it stopped at this layer.",
        LENS,
    )
    lens_text: tuple[tuple[str, ...], ...] | None = quantity(
        "logit lens text", "L+1,T", "", "each of lens_ids decoded alone", "The same, as text.", LENS
    )
    lens_entropy_nats: Floats | None = quantity(
        "logit lens entropy",
        "L+1,T",
        "nats",
        "entropy of the lens distribution of layer l",
        "How undecided the model still is at this layer.",
        LENS,
    )
    lens_kl_nats: Floats | None = quantity(
        "logit lens divergence",
        "L+1,T",
        "nats",
        "KL(final || layer l) = sum_x p_final(x) ln (p_final(x) / p_l(x))",
        "How far this layer's guess is from the final one.",
        LENS,
    )
    sink_rate: float = quantity(
        "sink rate",
        "",
        "",
        "share of heads whose sink score is above the threshold",
        "How many heads park their attention on the first token.",
        SINK,
    )
    sink_threshold: float = quantity(
        "sink threshold", "", "", "as asked (0.3 in the paper)", "Above this a head is a sink head."
    )
    attention_window: Integers = quantity(
        "attention window",
        "L",
        "tokens",
        "most keys a query of layer l sees, itself included; 0 where it sees all",
        "How far back this layer can look.",
    )
    context: int = quantity(
        "trained context",
        "",
        "tokens",
        "positions the model was made for; tokens after it were never trained",
        "From here on the model is out of its depth.",
    )
    dropped_tokens: int = quantity(
        "dropped tokens",
        "",
        "tokens",
        "tokens cut because the text was longer than the limit and you chose to cut",
        "How much of the text was left out.",
    )
    layers_done: int = quantity(
        "layers done",
        "",
        "",
        "layers measured; below L only in a partial result, whose other entries are NaN or -1",
        "How far a cancelled run came.",
    )
    notes: tuple[str, ...] = quantity(
        "notes", "", "", "what was cut, replaced or measured another way", "What to know."
    )

    @property
    def length(self) -> int:
        """T, tokens."""
        return int(self.token_ids.shape[0])

    @property
    def layers(self) -> int:
        """L."""
        return int(self.sink_score.shape[0])

    @property
    def heads(self) -> int:
        """H, query heads."""
        return int(self.sink_score.shape[1])

    def tables(self) -> dict[str, pa.Table]:
        """Return ``tokens`` (a row per token) and ``head_metrics`` (a row per layer and head)."""
        layer, head = np.indices(self.sink_score.shape, dtype=np.int32)
        tokens: dict[str, Any] = {
            "position": np.arange(self.length, dtype=np.int32),
            "token_id": self.token_ids,
            "token": list(self.token_text),
            "char_start": self.offsets[:, 0],
            "char_stop": self.offsets[:, 1],
            "surprisal_nats": self.surprisal_nats,
            "entropy_nats": self.entropy_nats,
            "varentropy_nats2": self.varentropy_nats2,
            "token_rank": self.rank,
            "received_mass": self.received_mass.mean((0, 1)),
            "residual_norm": self.residual_norm[-1],
        }
        heads: dict[str, Any] = {
            "layer": layer.ravel(),
            "head": head.ravel(),
            "sink_score": self.sink_score.ravel(),
            "previous_mass": self.previous_mass.ravel(),
            "self_mass": self.self_mass.ravel(),
            "attention_entropy_nats": self.attention_entropy_nats.mean(-1).ravel(),
            "attention_distance": self.attention_distance.mean(-1).ravel(),
        }
        return {"tokens": pa.table(tokens), "head_metrics": pa.table(heads)}

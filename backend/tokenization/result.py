"""The results of cutting a text, and of a next byte; every quantity defined where it is declared.

M segmentations, one for each tokenizer and segmenter; Q tokens of all of them, one after another.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity

RUST = "Rust et al., 2021, arXiv:2012.15613"
DYNAMIC = "Feher et al., 2024, arXiv:2411.18553"
LEMMA = "Phan et al., 2024, arXiv:2410.09303"
Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class TokenizeResult(Result):
    """One text under several tokenizers and segmenters."""

    schema_version: ClassVar[int] = 2

    tokenizer: tuple[str, ...] = quantity(
        "tokenizer", "M", "", "as asked", "Which vocabulary the text is cut with."
    )
    segmenter: tuple[str, ...] = quantity(
        "segmenter", "M", "", "as asked, with its parameters", "How the text is cut."
    )
    tokens: Integers = quantity(
        "tokens", "M", "tokens", "number of tokens, none added", "How long the text is."
    )
    bytes_per_token: Floats = quantity(
        "bytes per token",
        "M",
        "bytes",
        "UTF-8 bytes of the text / tokens",
        "How much text a token carries.",
    )
    fertility: Floats = quantity(
        "fertility",
        "M",
        "",
        "tokens / words, words being runs without spaces",
        "How many tokens a word takes; says little in scripts without spaces.",
        RUST,
    )
    continued_words: Floats = quantity(
        "continued words",
        "M",
        "",
        "share of words inside of which a token begins",
        "How many words are cut into pieces.",
        RUST,
    )
    byte_fallback: Floats = quantity(
        "byte fallback",
        "M",
        "",
        "share of tokens that are bytes and no whole character, or SentencePiece's <0xNN>",
        "How much of the text the vocabulary has no characters for.",
    )
    canonical: NDArray[np.bool_] = quantity(
        "canonical", "M", "", "ids equal those of the tokenizer itself", "Whether it is the usual."
    )
    nats_per_byte: Floats = quantity(
        "nats per byte",
        "M",
        "nats",
        "sum of -ln p(token | tokens before) / UTF-8 bytes of the text; NaN where no model with "
        "this tokenizer was named",
        "What the text costs the model so cut: an upper bound of what its bytes cost, since other "
        "segmentations have probability too.",
    )
    refused: tuple[str, ...] = quantity(
        "refused", "M", "", "why a tokenizer cannot be cut so; else empty", "What is not there."
    )
    segmentation: Integers = quantity(
        "segmentation", "Q", "", "number of the segmentation, from 0", "Whose token it is."
    )
    token_ids: Integers = quantity("token id", "Q", "", "as cut", "The number of the token.")
    start_byte: Integers = quantity(
        "first byte", "Q", "bytes", "offset in the UTF-8 text", "Where the token begins."
    )
    stop_byte: Integers = quantity(
        "end", "Q", "bytes", "offset in the UTF-8 text, exclusive", "Where the token ends."
    )
    merge_rank: Integers = quantity(
        "merge rank",
        "Q",
        "",
        "place in the list of merges of the one that makes the token; -1 where none does",
        "How early the pair was merged in training: low is frequent.",
    )
    surprisal_nats: Floats = quantity(
        "surprisal",
        "Q",
        "nats",
        "-ln p(token | tokens before); NaN without a model",
        "How unexpected this token is.",
    )
    text_bytes: int = quantity("bytes", "", "bytes", "UTF-8 bytes", "How long the text is.")
    text_characters: int = quantity(
        "characters", "", "", "Unicode code points", "How many characters it has."
    )
    text_words: int = quantity("words", "", "", "runs without spaces", "How many words it has.")
    notes: tuple[str, ...] = quantity(
        "notes", "", "", "as said by the run", "What was read otherwise than one might expect."
    )
    units: Integers | None = quantity(
        "vectors read",
        "M",
        "",
        "number of units: tokens, or several of which the model reads the mean of their embeddings",
        "How long the text is for the model.",
        DYNAMIC,
        since=2,
    )
    unit: Integers | None = quantity(
        "unit",
        "Q",
        "",
        "number of the unit of a token, from 0 in each segmentation",
        "Which tokens are read as one vector once they are over.",
        DYNAMIC,
        since=2,
    )

    def more_at_starts(self, number: int) -> float:
        """Return by how many nats tokens that begin a unit cost more than in segmentation 0.

        Args:
            number: of a segmentation that has the tokens of the first, joined to units.
        Returns: the mean over those tokens; NaN where they have no probability.
        """
        assert self.unit is not None
        mine = self.segmentation == number
        begins = np.diff(self.unit[mine], prepend=-1) > 0
        more = self.surprisal_nats[mine] - self.surprisal_nats[self.segmentation == 0]
        return float(more[begins].astype(np.float64).mean())


@dataclass(frozen=True)
class NextByteResult(Result):
    """The next byte of a prefix, by the byte-token representation lemma and naively.

    R places where the token can begin that holds the next byte.
    """

    schema_version: ClassVar[int] = 1

    exact: NDArray[np.float64] = quantity(
        "exact next byte",
        "B",
        "",
        "P(x b) / sum over b of P(x b); P of bytes is the sum over their covers: canonical "
        "segmentations whose last token reaches to the end or beyond",
        "How probable each byte is after the prefix, whatever its tokens.",
        LEMMA,
    )
    naive: NDArray[np.float64] = quantity(
        "naive next byte",
        "B",
        "",
        "sum of p(token | tokens of the prefix) over tokens that begin with the byte",
        "What one gets who asks for the next token: wrong where the prefix ends inside a token.",
        LEMMA,
    )
    leaked: float = quantity(
        "leaked mass",
        "",
        "",
        "share of the probability that reaches beyond the prefix by segmentations which are not "
        "canonical; left out of the exact answer",
        "How much the model gives to segmentations its tokenizer never makes.",
        LEMMA,
    )
    total_variation: float = quantity(
        "distance", "", "", "1/2 sum over b of |exact - naive|", "How wrong the naive answer is."
    )
    prefix_nats: float = quantity(
        "nats of the prefix",
        "",
        "nats",
        "-ln sum over b of P(x b)",
        "What the bytes of the prefix cost, over all their segmentations; that the text ends there "
        "is left out.",
        LEMMA,
    )
    cut_byte: Integers = quantity(
        "where the token begins", "R", "bytes", "offset in the prefix", "Which token it would be."
    )
    cut_tokens: Integers = quantity(
        "tokens", "R", "tokens", "valid tokens that begin there and reach beyond", "How many ways."
    )
    cut_share: NDArray[np.float64] = quantity(
        "share",
        "R",
        "",
        "of the probability of all covers",
        "How probable it is that the token begins there.",
    )
    prefix_ids: Integers = quantity(
        "token id", "T", "", "canonical tokens of the prefix", "How the prefix is cut alone."
    )
    prefix_text: tuple[str, ...] = quantity(
        "token text", "T", "", "the token decoded alone", "The same, as text."
    )

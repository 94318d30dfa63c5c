"""The kind of run that measures one reading of a text."""

from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.runs.example_texts import GEESE, LIGHTHOUSE, RED_CAP, SHORE
from tokenarium.backend.runs.kind import Example, Kind
from tokenarium.backend.trace.request import TraceRequest

TILES = 24
"""Fewer than usual: the attention of 270 heads is most of what is shipped."""
SIDE = 32
"""Of the small model's runs that stand beside another."""

KIND = Kind(
    request=TraceRequest,
    result="tokenarium.backend.trace.result:TraceResult",
    compute="tokenarium.backend.trace.runner:trace",
    answers="tokenarium.backend.trace.older:trace_answers",
    compare="tokenarium.backend.comparison.traces:compare_traces",
    estimate="tokenarium.backend.trace.estimate:estimate_run",
    title="Trace",
    examples=(
        Example(
            "first-token",
            "Where heads rest",
            "Where does a head look when nothing in the sentence asks for its attention?",
            TraceRequest(model=DEFAULT_MODEL, text=LIGHTHOUSE, tiles=TILES, logit_lens=True),
        ),
        Example(
            "two-questions",
            "Two questions",
            "A conversation is one text, too: whose turn do the heads look back to?",
            TraceRequest(model=DEFAULT_MODEL, messages=SHORE, tiles=TILES, logit_lens=True),
        ),
        Example(
            "small-model",
            "A small model",
            "The same text, read by a model of 15 million parameters: do its heads rest as well?",
            TraceRequest(model="bundled/target", text=LIGHTHOUSE, logit_lens=True),
        ),
        Example(
            "one-wrong-word",
            "One wrong word",
            "Most of this is easy to guess; find the word that the model did not see coming.",
            TraceRequest(model="bundled/target", text=RED_CAP, tiles=SIDE, logit_lens=True),
        ),
        Example(
            "said-twice",
            "Said twice",
            "The second half repeats the first: compare how surprised the model is, where it "
            "looks.",
            TraceRequest(model="bundled/target", text=GEESE, tiles=SIDE, logit_lens=True),
        ),
    ),
)

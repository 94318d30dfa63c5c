"""The kind of run that continues a prompt by several strategies."""

from tokenarium.backend.decoding.request import DecodeRequest, StrategySpec
from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.runs.example_texts import ONCE
from tokenarium.backend.runs.kind import Example, Kind

KIND = Kind(
    request=DecodeRequest,
    result="tokenarium.backend.decoding.result:DecodeResult",
    compute="tokenarium.backend.decoding.runner:decode",
    title="Decode",
    estimate="tokenarium.backend.decoding.estimate:estimate_run",
    compare="tokenarium.backend.comparison.decodings:compare_decodings",
    timed=True,
    examples=(
        Example(
            "where-it-hesitates",
            "Where it hesitates",
            "Three ways to write on from one beginning: where is the model unsure, and who takes "
            "another word there?",
            DecodeRequest(
                model=DEFAULT_MODEL,
                text=ONCE,
                strategies=(
                    StrategySpec(slug="greedy"),
                    StrategySpec(slug="contrastive"),
                    StrategySpec(slug="sampling", parameters={"temperature": 0.8, "top_p": 0.9}),
                ),
                max_new_tokens=40,
            ),
        ),
        Example(
            "four-roads-at-once",
            "Four roads at once",
            "Beam search keeps four texts open: which of them are left, and when?",
            DecodeRequest(
                model="bundled/target",
                text=ONCE,
                strategies=(
                    StrategySpec(slug="greedy"),
                    StrategySpec(slug="beam", parameters={"beams": 4}),
                ),
                max_new_tokens=32,
            ),
        ),
    ),
)

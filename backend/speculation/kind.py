"""The kind of run that continues a prompt by drafting and verifying."""

from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.runs.example_texts import AGAIN, ONCE
from tokenarium.backend.runs.kind import Example, Kind
from tokenarium.backend.speculation.request import DrafterSpec, RuleSpec, SpeculateRequest

KIND = Kind(
    request=SpeculateRequest,
    result="tokenarium.backend.speculation.result:SpeculationResult",
    compute="tokenarium.backend.speculation.runner:speculate",
    title="Speculate",
    compare="tokenarium.backend.comparison.speculations:compare_speculations",
    estimate="tokenarium.backend.speculation.estimate:estimate_run",
    timed=True,
    # The default model has no small one of its vocabulary beside it.
    usual={"drafter": "prompt_lookup"},
    examples=(
        Example(
            "said-before",
            "Said before",
            "What stood in the prompt is guessed again from there: how many guesses hold?",
            SpeculateRequest(
                model=DEFAULT_MODEL,
                text=AGAIN,
                drafter=DrafterSpec(slug="prompt_lookup"),
                max_new_tokens=96,
            ),
        ),
        Example(
            "half-a-model",
            "Half a model",
            "The model's own first layers guess the same text: why does that not pay here?",
            SpeculateRequest(
                model=DEFAULT_MODEL,
                text=AGAIN,
                drafter=DrafterSpec(slug="early_exit"),
                max_new_tokens=96,
            ),
        ),
        Example(
            "guessed-ahead",
            "Guessed ahead",
            "A small model guesses several words, the large one checks them at once: which "
            "survive?",
            SpeculateRequest(
                model="bundled/target",
                text=ONCE,
                drafter=DrafterSpec(slug="iid_tree"),
                rule=RuleSpec(slug="multi_round"),
                temperature=0.7,
                max_new_tokens=64,
            ),
        ),
    ),
)

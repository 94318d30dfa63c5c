"""The result of a decoding run, every quantity defined where it is declared.

T tokens of the prompt, L lanes, N new tokens of all lanes, one lane after another, S stages (the
model's own distribution and what each step makes of it), A alternatives, J rows of the journal, B
branches, K thresholds.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.decoding.calibration import Calibration
from tokenarium.backend.decoding.decoded_lane import DecodedLane
from tokenarium.backend.decoding.region import Region
from tokenarium.backend.runs.read_text import role_quantity, text_quantity, turn_quantity
from tokenarium.backend.runs.result import Result, quantity

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class DecodeResult(Result):
    """A prompt continued by several strategies, with every decision."""

    schema_version: ClassVar[int] = 5

    strategies: tuple[str, ...] = quantity(
        "strategies", "L", "", "slugs", "Which strategy wrote each lane; plain decoding is first."
    )
    titles: tuple[str, ...] = quantity(
        "titles", "L", "", "as the strategies declare", "Their names for people."
    )
    parameters: tuple[str, ...] = quantity(
        "parameters",
        "L",
        "",
        "as they ran, defaults filled in; JSON",
        "With which values each ran.",
    )
    prompt_ids: Integers = quantity(
        "token id", "T", "", "the tokenizer's number", "Which vocabulary entries the prompt is."
    )
    prompt_text: tuple[str, ...] = quantity(
        "prompt token", "T", "", "the token decoded alone", "The piece of text of this token."
    )
    prompt: str = text_quantity(since=1)
    turn: Integers = turn_quantity(since=1)
    turn_role: tuple[str, ...] = role_quantity(since=1)
    text: tuple[str, ...] = quantity(
        "new text", "L", "", "all new tokens of a lane decoded", "What each strategy wrote."
    )
    ended: tuple[str, ...] = quantity(
        "why it ended",
        "L",
        "",
        "end of text, length, or stop: a string to stop at or the strategy",
        "What stopped it.",
    )
    token_columns: NDArray[Any] = quantity(
        "new tokens",
        "N",
        "",
        "lane; token_id, -1 where a mixture of embeddings was read; branch it was tried on first, "
        "0 for none; probability by the model at temperature 1, and final_probability after every "
        "step; rank, 0 for the likeliest; entropy_nats = -sum p ln p and varentropy_nats2 = "
        "sum p (ln p + H)^2 of the model's distribution; passes, token_steps and seconds of the "
        "lane until then, those of the prompt not counted",
        "Every new token, how unsure the model was, and what was spent until then.",
    )
    stages: tuple[tuple[str, ...], ...] = quantity(
        "stages",
        "L,S",
        "",
        "the model, and every step that changes its distribution, in order",
        "What was done to distributions before tokens were chosen.",
    )
    top_ids: Integers = quantity(
        "likeliest tokens", "N,A", "", "by the model, likeliest first; -1 where it has fewer",
        "What the model would rather say at each step.",
    )  # fmt: skip
    top_probs: Floats = quantity(
        "their probabilities",
        "N,S,A",
        "",
        "after each stage; NaN where a lane has fewer stages",
        "How the mass moved.",
    )
    tokens_left: Integers = quantity(
        "tokens left", "N,S", "", "tokens of probability above 0 after each stage; -1 for none",
        "What each step removed.",
    )  # fmt: skip
    stage_entropy_nats: Floats = quantity(
        "entropy after each stage", "N,S", "nats", "-sum p ln p", "How unsure the draw itself is."
    )
    threshold_names: tuple[str, ...] = quantity(
        "what happens at a threshold", "K", "", "as the strategy names it", "What each line means."
    )
    threshold_lane: Integers = quantity(
        "lane of a threshold", "K", "", "number of the lane", "Whose line it is."
    )
    threshold_nats: Floats = quantity(
        "thresholds", "K", "nats", "entropy at which the strategy acts",
        "The lines that the entropy is compared with.",
    )  # fmt: skip
    journal: NDArray[Any] = quantity(
        "journal",
        "J",
        "",
        "lane; step: new tokens before; branch (0 for the text) and parent, the branch it left; "
        "token, -1 for none; probability and rank by the model; score of the strategy, NaN "
        "without; action: index into take, consider, pause, branch, look_ahead, drop, roll_back, "
        "switch, stop, refuse; reason: index into reasons, -1 for none; entropy_nats and "
        "varentropy_nats2 before the token, entropy_after_nats and varentropy_after_nats2 after "
        "it; passes and token_steps of the lane so far",
        "What was considered, what was done and why, in order.",
    )
    reasons: tuple[str, ...] = quantity(
        "reasons", "", "", "sentences of the strategies", "Why something was done."
    )
    branch_columns: NDArray[Any] = quantity(
        "branches",
        "B",
        "",
        "lane; branch and the parent it left; start: step of its first token; tokens of its own, "
        "and how many were kept; log_prob: sum of their ln p by the model; score of the strategy",
        "Every branch that was tried.",
    )
    choice_text: dict[str, str] = quantity(
        "texts of tokens", "", "", "token id to the token decoded alone", "What they spell."
    )
    lane_columns: NDArray[Any] = quantity(
        "lanes",
        "L",
        "",
        "tokens written; passes: forward passes after that over the prompt, which all lanes share; "
        "token_steps: tokens read in them; seconds: all the lane took",
        "What each strategy cost.",
    )
    prefill_ms: float = quantity(
        "time to read the prompt", "", "ms", "one pass, before the first lane", "Until it begins."
    )
    notes: tuple[str, ...] = quantity(
        "notes", "", "", "sentences", "What was done otherwise than one might expect."
    )

    writer: NDArray[np.int8] | None = quantity(
        "who wrote it", "N", "", "0 the model, 1 the small model of two",
        "Whose distribution the token was chosen from.", since=2,
    )  # fmt: skip
    small_columns: NDArray[Any] | None = quantity(
        "cost of the small model",
        "L",
        "",
        "passes after that over the prompt, token_steps: tokens read in them, and their seconds; "
        "of the model itself they stand in lane_columns",
        "What each lane spent with the small model of two.",
        since=2,
    )
    right: NDArray[np.int8] | None = quantity(
        "right answer", "L", "",
        "1 where the answer stands in the first line that was written, as a word of its own, 0 "
        "where not, -1 where none is known",
        "Whether each lane answers its prompt.", since=2,
    )  # fmt: skip

    read_ahead: NDArray[np.int8] | None = quantity(
        "guessed by a drafter", "N", "",
        "1 where a drafter guessed the token, so that what follows it was read before it was "
        "taken, in a pass with others; 0 where not, and of a lane's last token, which is not read",
        "Which passes a drafter saved.", since=3,
    )  # fmt: skip

    trial_columns: NDArray[Any] | None = quantity(
        "trials", "L", "",
        "trials of each lane, by seeds from the run's on, the shown text being the first, and how "
        "many of them are right; 0 trials where no answer is known, 1 where a lane draws nothing",
        "How often each strategy answers rightly.", since=3,
    )  # fmt: skip

    premise_columns: NDArray[Any] | None = quantity(
        "premises", "L", "",
        "value and the bound it is compared with; below: 1 where the premise holds at or below the "
        "bound, 0 where at or above; holds: 1 where it does, 0 where not, -1 where it was not "
        "measured; passes that measuring took; drawing: its number, -1 for none",
        "Whether what each strategy builds on holds for this model.", since=4,
    )  # fmt: skip
    premise_words: tuple[tuple[str, ...], ...] | None = quantity(
        "premises in words", "L", "", "the claim, and what was measured; nothing without a premise",
        "What each strategy builds on.", since=4,
    )  # fmt: skip
    drawing_words: tuple[tuple[str, ...], ...] | None = quantity(
        "drawings in words", "", "", "title, titles of the axes, and names of the series of each",
        "What is drawn beside the texts.", since=4,
    )  # fmt: skip
    drawing_lane: Integers | None = quantity(
        "lane of a drawing", "", "", "number of the lane", "Whose drawing it is.", since=4,
    )  # fmt: skip
    drawing_points: NDArray[Any] | None = quantity(
        "points of drawings", "", "", "drawing, series within it, and x and y on its axes",
        "The numbers of premises and searches, as they are drawn.", since=4,
    )  # fmt: skip

    trial_rows: NDArray[Any] | None = quantity(
        "confidence of trials", "", "",
        "lane; tokens of the first line that the trial wrote, the part that answers; log_prob: sum "
        "of their ln p by the model at temperature 1; right: 1 or 0; nothing without an answer",
        "How sure the model was of each answer, and which were right.", since=5,
    )  # fmt: skip

    @property
    def imported(self) -> bool:
        """Whether another server wrote it: passes and time are unknown, entropies lower bounds."""
        return bool((self.lane_columns["passes"] < 0).any())

    def regions(self, lane: int) -> tuple[Region, ...]:
        """Return where, by entropy and varentropy, a lane's strategy acts in a way of its own."""
        from tokenarium.backend.decoding.strategy import Strategy

        if lane == 0 or self.imported:
            return ()
        plain, own = self.lanes[0], self.lanes[lane]
        known = Calibration(plain.entropy_nats, plain.varentropy_nats2)
        return Strategy.registry.find(own.strategy)(**own.parameters).regions(known)

    @cached_property
    def lanes(self) -> tuple[DecodedLane, ...]:
        """Every lane by itself; the first is plain decoding."""
        return tuple(DecodedLane.of(self, lane) for lane in range(len(self.strategies)))

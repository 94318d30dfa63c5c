"""The run of kind ``decode``: one prompt, several strategies, one after another."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from tokenarium.backend.cost.fits import past_context, refuse_unless_free
from tokenarium.backend.decoding.allowed import Allowed, Vocabulary
from tokenarium.backend.decoding.answer import answers, first_line
from tokenarium.backend.decoding.arrays import LANE, TRIALS, arrays
from tokenarium.backend.decoding.calibration import NOTHING, Calibration
from tokenarium.backend.decoding.changed_run import changed_run
from tokenarium.backend.decoding.constraint import Constraint
from tokenarium.backend.decoding.lane import Lane
from tokenarium.backend.decoding.memory import Place, bytes_of_decoding
from tokenarium.backend.decoding.premise import Premise
from tokenarium.backend.decoding.prompt import prompt_of, refuse_unknown
from tokenarium.backend.decoding.reliability import TRIAL
from tokenarium.backend.decoding.request import DecodeRequest
from tokenarium.backend.decoding.result import DecodeResult
from tokenarium.backend.decoding.small_models import SmallModels
from tokenarium.backend.decoding.stepper import Stepper
from tokenarium.backend.decoding.strategy import Strategy
from tokenarium.backend.decoding.watching_reader import WatchingReader
from tokenarium.backend.models.generating import end_of_text
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.spelling import special_ids, spelled_bytes
from tokenarium.backend.models.text import Tokens, decode_each
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.backend.runs.request import stored_form
from tokenarium.backend.speculation.autoregressive import StoppingCriteria


@torch.inference_mode()
def decode(
    request: DecodeRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
    beside: Mapping[str, LoadedModel] | None = None,
) -> DecodeResult:
    """Continue a prompt by every strategy that is asked for, and record what each did.

    Args:
        limit: most tokens of the prompt; what happens to a longer one is the request's choice.
        emit: receives progress and, a few times a second, the unfinished result.
        cancel: checked in every layer.
        beside: small models that strategies name, by name.
    Raises: ValueError where the prompt or a strategy does not fit the model; Cancelled.
    """
    cancel.check()
    tokens = prompt_of(request, loaded, limit)
    return _Run(request, loaded, tokens, emit, cancel, beside or {}).finished()


class _Run:
    """One run, from the prompt to its result."""

    def __init__(
        self,
        request: DecodeRequest,
        loaded: LoadedModel,
        tokens: Tokens,
        emit: Callable[[Event], None],
        cancel: CancelToken,
        beside: Mapping[str, LoadedModel],
    ) -> None:
        self.request, self.loaded, self.tokens = request, loaded, tokens
        self.strategies = request.lanes
        prompt, most = len(tokens.ids), request.max_new_tokens
        self.notes = tokens.notes + _beyond_context(loaded, prompt, most)
        places = {name: _place(other) for name, other in beside.items()}
        refuse_unless_free(
            loaded.device,
            bytes_of_decoding(request, _place(loaded), prompt, places),
            f"{prompt} tokens, max_new_tokens={most} and {len(self.strategies)} strategies",
            "the model",
            ["shorten the prompt", "ask for fewer new tokens"],
        )
        refuse_unknown("begin", request.begin, loaded)
        watch = {seen for one in self.strategies for seen in one.watches}
        self.reader = WatchingReader(loaded, prompt + most, cancel.check, watch)
        if self.reader.chain_only and any(one.branches for one in self.strategies):
            self.notes += (
                f"{loaded.name} does not read several branches in one pass "
                f"({self.reader.chain_only}): each is read by itself",
            )
        self.stepper = Stepper(self.reader, loaded.unembed)
        self.small = SmallModels(self.strategies, loaded, beside, prompt + most, cancel.check)
        self.changed = changed_run(request, loaded, tokens.ids, cancel.check, beside)
        self.notes += self.small.notes + (() if self.changed is None else self.changed.notes)
        self._vocabulary: Vocabulary | None = None
        own = request.constraint
        self.allowed = None if own is None else self._allowing(own.constraint)
        self.lanes: list[Lane] = []
        self.took: list[float] = []
        self.tried: list[tuple[int, int]] = []
        self.trial_rows: list[tuple[int, int, float, int]] = []
        self.premises: dict[int, tuple[Premise | None, int]] = {}
        """Of lanes, and the passes that measuring took."""
        self.prefill_ms = float("nan")
        self.progress = ProgressReporter(emit, cancel, self._result)

    def finished(self) -> DecodeResult:
        """Read the prompt once, then let one strategy after another write."""
        start = time.perf_counter()
        self._report("reading the prompt")
        self.stepper.begin(self.tokens.ids)
        self.prefill_ms = (time.perf_counter() - start) * 1e3
        for number, strategy in enumerate(self.strategies):
            lane = self._lane(strategy, self._next_stepper(strategy, number))
            self.lanes.append(lane)
            start = time.perf_counter()
            lane.give(self.request.begin)
            if not lane.ended:
                strategy.decode(lane)
            self.took.append(time.perf_counter() - start)
            self._note_what_broke(number, strategy, lane)
            self.tried.append(self._tried(strategy, lane))
            if number == 0:
                self._measure_premises()
        return self._result()

    def _note_what_broke(self, number: int, strategy: Strategy, lane: Lane) -> None:
        """Say of a strategy that is to keep the constraint where it did not."""
        if self.allowed is None or not strategy.constrained:
            return
        broken = self.allowed.broken_at(lane.new, len(self.request.begin))
        if broken is not None:
            self.notes += (
                f"{self._title(number, strategy)} breaks the constraint at step {broken + 1}: it "
                "found no text that keeps it, and writes on as without one. Loosen the constraint, "
                "or let it try more.",
            )

    def _measure_premises(self) -> None:
        """Measure what strategies build on, by the unchanged model, before they write."""
        for number, strategy in enumerate(self.strategies):
            if not number or not strategy.builds_on:
                continue
            self._report("measuring what strategies build on")
            self.stepper.restart()
            lane = self._lane(strategy, self.stepper)
            self.premises[number] = (
                strategy.premise(lane),
                sum(passes for passes, *_ in (lane.spent_in_all, lane.small_spent)),
            )

    def _tried(self, strategy: Strategy, first: Lane) -> tuple[int, int]:
        """Return how often a lane was written, by other seeds too, and how many are right."""
        if first.right is None:
            return 0, 0
        count, right = self.request.trials_of(strategy), int(first.right(first.new))
        self.trial_rows.append(self._trial(first))
        for trial in range(1, count):
            stepper = self._next_stepper(strategy, len(self.lanes) - 1)
            lane = self._lane(strategy, stepper, trial)
            lane.give(self.request.begin)
            if not lane.ended:
                strategy.decode(lane)
            right += bool(lane.right and lane.right(lane.new))
            self.trial_rows.append(self._trial(lane))
        return count, right

    def _trial(self, lane: Lane) -> tuple[int, int, float, int]:
        """Return of a text whose lane it is of, how sure the model was, and whether it is right."""
        assert lane.right is not None
        count = first_line(lane.new, lane.spell)
        sure = sum(made.log_prob for made in lane.records[:count])
        return len(self.lanes) - 1, count, sure, int(lane.right(lane.new))

    def _next_stepper(self, strategy: Strategy, number: int) -> Stepper:
        """Return what stands at the end of the prompt."""
        if number and self.changed is not None:
            return self.changed.stepper(strategy)
        if self.lanes:
            self.stepper.restart()
        return self.stepper

    def _lane(self, strategy: Strategy, stepper: Stepper, trial: int = 0) -> Lane:
        loaded, request = self.loaded, self.request
        most = request.max_new_tokens

        def spell(ids: Any) -> str:
            return str(loaded.tokenizer.decode([key for key in ids if key >= 0]))

        return Lane(
            stepper,
            strategy.pipeline(),
            StoppingCriteria(loaded, request.max_new_tokens, request.stop),
            end_of_text(loaded),
            request.seed + trial,
            lambda lane: self._report("decoding", most if trial else lane.step),
            spell,
            self._calibration(),
            self.allowed,
            self._allowing,
            lambda text: list(loaded.tokenizer(text, add_special_tokens=False).input_ids),
            self.small.stepper(strategy),
            (lambda ids: answers(spell(ids), request.answer)) if request.answer else None,
        )

    def _allowing(self, constraint: Constraint) -> Allowed:
        """Return which tokens may follow under a constraint."""
        if self._vocabulary is None:
            loaded = self.loaded
            size = int(loaded.model.config.get_text_config().vocab_size)
            known = set(range(min(size, len(loaded.tokenizer)))) - special_ids(loaded.tokenizer)
            spelled = spelled_bytes(loaded.tokenizer, known)
            self._vocabulary = Vocabulary(spelled, end_of_text(loaded), size)
        return Allowed(constraint, self._vocabulary)

    def _calibration(self) -> Calibration:
        """Return how unsure the model was in the first lane."""
        if not self.lanes:
            return NOTHING
        records = self.lanes[0].records
        return Calibration(
            np.array([made.entropy_nats for made in records], np.float32),
            np.array([made.varentropy_nats2 for made in records], np.float32),
            np.array([-made.log_prob for made in records], np.float32),
            tuple(made.token for made in records),
        )

    def _report(self, doing: str, step: int = 0) -> None:
        most = self.request.max_new_tokens
        number = max(0, len(self.lanes) - 1)
        if self.lanes:
            doing = f"{self.strategies[number].title}: token"
        done, given = number * most + step, len(self.request.begin)
        if number == 0 and step == given + 1:
            self.progress.due()
        self.progress.report(doing, done, len(self.strategies) * most, partial=step > given)

    def _costs(self) -> Any:
        found = np.zeros(len(self.lanes), LANE)
        for number, (row, lane) in enumerate(zip(found, self.lanes, strict=True)):
            done = number < len(self.took)
            row["tokens"] = len(lane.new)
            row["passes"], row["token_steps"] = lane.spent_in_all
            row["seconds"] = self.took[number] if done else (lane.spent or [(0, 0, 0, 0.0)])[-1][3]
        return found

    def _title(self, number: int, strategy: Strategy) -> str:
        """Return the name of a lane: of its strategy, and what it is written under."""
        if not number or self.changed is None:
            return strategy.title
        return f"{strategy.title} {self.changed.words}"

    def _right(self) -> Any:
        """Return of each lane whether it answers rightly: 1 or 0, -1 where nobody knows."""
        return np.array(
            [-1 if lane.right is None else lane.right(lane.new) for lane in self.lanes], np.int8
        )

    def _result(self) -> DecodeResult:
        loaded, lanes = self.loaded, self.lanes
        ran = self.strategies[: len(lanes)]
        made = arrays(lanes, [self.premises.get(lane, (None, 0)) for lane in range(len(lanes))])
        shown = np.concatenate(
            [
                made["token_columns"]["token_id"],
                made["top_ids"].ravel(),
                made["journal"]["token"],
            ]
        )
        known = [int(key) for key in np.unique(shown) if key >= 0]
        texts = decode_each(loaded, known)
        return DecodeResult(
            strategies=tuple(one.slug for one in ran),
            titles=tuple(self._title(number, one) for number, one in enumerate(ran)),
            parameters=tuple(json.dumps(stored_form(one)) for one in ran),
            prompt_ids=np.asarray(self.tokens.ids, np.int32),
            prompt_text=self.tokens.text,
            prompt=self.tokens.source,
            **self.tokens.turns(),
            text=tuple(
                str(
                    loaded.tokenizer.decode(
                        [key for key in lane.new if key >= 0], skip_special_tokens=True
                    )
                )
                for lane in lanes
            ),
            ended=tuple(lane.ended for lane in lanes),
            choice_text={str(key): text for key, text in zip(known, texts, strict=True)},
            lane_columns=self._costs(),
            prefill_ms=self.prefill_ms,
            right=self._right(),
            trial_columns=np.array(self.tried + [(0, 0)] * (len(lanes) - len(self.tried)), TRIALS),
            trial_rows=np.array(self.trial_rows, TRIAL),
            notes=self.notes,
            **made,
        )


def _place(loaded: LoadedModel) -> Place:
    return Place(loaded.model.config, loaded.dtype, loaded.device)


def _beyond_context(loaded: LoadedModel, prompt: int, most: int) -> tuple[str, ...]:
    """Refuse more tokens than the model has positions; say what it was not trained for."""
    return past_context(
        loaded,
        prompt + most,
        f"max_new_tokens={most} after a prompt of {prompt} tokens is above the {loaded.context} "
        f"learned positions of {loaded.name!r}: shorten either by "
        f"{prompt + most - loaded.context}, or choose a model with rotary positions",
    )

"""Two stages: enough text for the gate, then, if the head passes it, the rest.

Each stage generates what text is missing, chooses the reduced vocabulary anew (the head's own
weights do not depend on it), trains with a rate of its own that warms up and decays, and judges
the head on held-out chats.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from tokenarium.backend.pretraining.draft_head.card import card
from tokenarium.backend.pretraining.draft_head.evaluation import Judge, summary
from tokenarium.backend.pretraining.draft_head.head import DraftHead, Shape
from tokenarium.backend.pretraining.draft_head.loss import Weighing, unrolled_loss
from tokenarium.backend.pretraining.draft_head.ragged import HeldOut
from tokenarium.backend.pretraining.draft_head.start import closed_form
from tokenarium.backend.pretraining.draft_head.store import Store, reduced_vocabulary
from tokenarium.backend.pretraining.draft_head.target import Target
from tokenarium.backend.pretraining.schedule import Schedule


class GateRefusedError(RuntimeError):
    """The head does not guess well enough after the first stage to be worth the second."""


@dataclass(frozen=True)
class Plan:
    """How much text is written and read, and when to stop.

    ``*_tokens`` count unique tokens, ``*_passes`` the tokens trained on, repeats included.
    """

    gate_tokens: int = 1_000_000
    gate_passes: int = 4_000_000
    gate_match: float = 0.38
    tokens: int = 10_000_000
    passes: int = 30_000_000
    vocabulary: int = 8192
    batch: int = 16
    unroll: int = 3
    lr: float = 1e-3
    weight_decay: float = 0.05
    seed: int = 0
    past_gate: bool = False
    minutes: float | None = None  # of the second stage's training; passes shrink to fit
    save_seconds: float = 120.0

    def stage(self, number: int) -> tuple[int, int]:
        """Unique tokens and passes of stage 0 or 1."""
        return (self.gate_tokens, self.gate_passes) if number == 0 else (self.tokens, self.passes)


def check_gate(first_match: float, plan: Plan) -> None:
    """Raise GateRefusedError if the share of right first guesses is under the gate."""
    if first_match < plan.gate_match:
        raise GateRefusedError(
            f"first match {first_match:.3f} after {plan.gate_tokens:,} tokens is below "
            f"{plan.gate_match}: the head is not trained further. Change the recipe, or pass "
            "--past-gate to see what more text does"
        )


@dataclass
class Progress:
    """Where a training stands: ``stage`` 0 or 1, 2 when finished."""

    stage: int = 0
    step: int = 0
    passes: int = 0  # of this stage
    planned: int = 0  # passes of this stage, once it has begun
    row: int = 0
    seconds: float = 0.0


class Training:
    """One training in a folder: text, checkpoint, log and head all live there."""

    def __init__(self, folder: Path, store: Store, held_out: Sequence[HeldOut], plan: Plan) -> None:
        self.folder, self.store, self.plan = folder, store, plan
        self.judge = Judge(store.target, held_out)
        self.target: Target = store.target
        torch.manual_seed(plan.seed)
        self.head = DraftHead(Shape.of(self.target)).to(self.target.device)
        self.optimiser = self._new_optimiser()
        self.progress = Progress()
        self.vocabulary = torch.empty(0, dtype=torch.long)
        folder.mkdir(parents=True, exist_ok=True)
        self._load()

    def run(self) -> None:
        """Go on from where the folder stands to the end.

        Raises: GateRefusedError after the first stage, if the head fails and the plan obeys.
        """
        while self.progress.stage < 2:
            self._prepare()
            self._train()
            match = self._judge(f"stage {self.progress.stage}")
            gated = self.progress.stage == 0
            if gated and not self.plan.past_gate:
                check_gate(match, self.plan)
            self.progress = Progress(self.progress.stage + 1, seconds=self.progress.seconds)
            self.optimiser = self._new_optimiser()
            self._save()

    def _prepare(self) -> None:
        tokens, passes = self.plan.stage(self.progress.stage)
        began = time.monotonic()
        while self.store.tokens < tokens:
            self.store.add()
            self._log("text", tokens=self.store.tokens, seconds=time.monotonic() - began)
        self.vocabulary = reduced_vocabulary(self.store, self.plan.vocabulary)
        if self.progress.step == 0:
            self.progress.planned = passes
            if self.progress.stage == 0:
                closed_form(self.head, self.target, self._whole())
                self._judge("closed form")
            self._save()

    def _whole(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for ids, hidden in zip(self.store.ids, self.store.hidden, strict=True):
            yield from zip(ids.split(64), hidden.split(64), strict=True)

    def _train(self) -> None:
        progress, plan = self.progress, self.plan
        rows = self.target.unembedding[self.vocabulary]
        began = saved = time.monotonic()
        at, losses = progress.passes, torch.zeros(plan.unroll)
        while progress.passes < progress.planned:
            parts = self._step(rows)
            losses = losses + torch.tensor(parts)
            now = time.monotonic()
            if progress.step == 30 and progress.stage == 1 and plan.minutes is not None:
                rate = (progress.passes - at) / (now - began)
                progress.planned = min(progress.planned, int(rate * plan.minutes * 60))
                self._log("fitted", planned=progress.planned, tokens_per_s=rate)
            if progress.step % 100 == 0:
                rate = (progress.passes - at) / (now - began)
                self._log("step", losses=[x / 100 for x in losses.tolist()], tokens_per_s=rate)
                losses = torch.zeros(plan.unroll)
            if now - saved > plan.save_seconds:
                self._save()
                saved = now
        progress.seconds += time.monotonic() - began
        self._save()

    def _step(self, rows: torch.Tensor) -> list[float]:
        progress, plan, device = self.progress, self.plan, self.target.device
        warm = min(500_000, progress.planned // 10)
        half = progress.planned // 2
        factor = Schedule(warm, half, progress.planned - half).factor(progress.passes)
        for group in self.optimiser.param_groups:
            group["lr"] = plan.lr * max(0.02, factor)
        seed = [plan.seed, progress.stage, progress.step]
        generator = torch.Generator(device).manual_seed(hash(tuple(seed)) % 2**63)
        ids, mode, hidden = self.store.batch(progress.row, plan.batch)
        loss, parts = unrolled_loss(
            self.head,
            ids,
            mode,
            hidden,
            self.target.embedding,
            rows,
            steps=plan.unroll,
            skip=len(self.store.prompts.prefix),
            generator=generator,
            weighing=Weighing(),
        )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
        self.optimiser.step()
        progress.step += 1
        progress.row += plan.batch
        progress.passes += ids.numel()
        return parts

    def _judge(self, name: str) -> float:
        began = time.monotonic()
        found = summary(self.judge.judge(self.head, self.vocabulary))
        facts = {
            "target": self.target.name,
            "tokens": self.store.tokens,
            "judged": {key: found[key] for key in ("prompts", "conditional_match", "coverage")},
        }
        self.head.save(self.folder / "head", self.vocabulary, self.target.embedding, facts)
        target = str(facts["target"])
        about = card(self.head.shape, target, self.store.tokens, asdict(self.plan), found)
        (self.folder / "head" / "MODEL_CARD.md").write_text(about, "utf-8")
        text = json.dumps({"name": name, "plan": asdict(self.plan), **found}, indent=2)
        (self.folder / f"judged_{name.replace(' ', '_')}.json").write_text(text + "\n", "utf-8")
        shares = found["conditional_match"]
        assert isinstance(shares, list)
        four = found["draft_len_4"]
        assert isinstance(four, dict)
        self._log(
            "judged",
            name=name,
            match=shares,
            tokens_per_pass={key: four[key].get("tokens_per_pass") for key in list(four)[:3]},
            seconds=time.monotonic() - began,
        )
        return float(shares[0])

    def _log(self, event: str, **facts: object) -> None:
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in facts.items()}
        place = {"stage": self.progress.stage, "step": self.progress.step}
        line = json.dumps({"event": event, **place, "passes": self.progress.passes, **rounded})
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)

    def _new_optimiser(self) -> torch.optim.Optimizer:
        plain = [p for p in self.head.parameters() if p.ndim < 2]
        groups: list[dict[str, object]] = [
            {"params": [p for p in self.head.parameters() if p.ndim >= 2]},
            {"params": plain, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(
            groups, lr=self.plan.lr, betas=(0.9, 0.95), weight_decay=self.plan.weight_decay
        )

    def _save(self) -> None:
        state = {
            "head": self.head.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": vars(self.progress),
        }
        partial = self.folder / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(self.folder / "checkpoint.pt")

    def _load(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.target.device, weights_only=True)
        self.head.load_state_dict(state["head"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.progress = Progress(**state["progress"])

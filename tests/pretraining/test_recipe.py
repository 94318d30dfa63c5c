"""The course of a head's training: stages, files, the gate, and what goes on after a break."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.pretraining.conftest import PROMPTS, head_of, store_of
from tokenarium.backend.pretraining.draft_head import recipe
from tokenarium.backend.pretraining.draft_head.head import DraftHead
from tokenarium.backend.pretraining.draft_head.ragged import (
    HeldOut,
    Prompts,
    load_held_out,
    save_held_out,
)
from tokenarium.backend.pretraining.draft_head.store import Store
from tokenarium.backend.pretraining.draft_head.target import Target

PLAN = recipe.Plan(
    gate_tokens=180,
    gate_passes=10 * 120,
    gate_match=0.0,
    tokens=360,
    passes=10 * 120,
    vocabulary=20,
    batch=4,
    save_seconds=0.0,
)


HELD_OUT = [HeldOut("qa", [1, 5, 6, 11], [12, 3, 4, 12, 3, 4, 20]), HeldOut("math", [1, 5], [8, 9])]


def _training(folder: Path, target: Target, plan: recipe.Plan) -> recipe.Training:
    return recipe.Training(folder, store_of(folder / "text", target), HELD_OUT, plan)


def test_a_run_cut_off_goes_on_exactly(target, tmp_path, monkeypatch):
    _training(tmp_path / "whole", target, PLAN).run()
    step, stages = recipe.Training._step, []

    def cut(training, rows):
        if training.progress.step == 7 and len(stages) == training.progress.stage:
            stages.append(training.progress.stage)
            raise KeyboardInterrupt
        return step(training, rows)

    monkeypatch.setattr(recipe.Training, "_step", cut)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            _training(tmp_path / "cut", target, PLAN).run()
    _training(tmp_path / "cut", target, PLAN).run()
    whole, cut_off = (
        DraftHead.load(tmp_path / name / "head")[0].state_dict() for name in ("whole", "cut")
    )
    assert stages == [0, 1]
    assert all(torch.equal(whole[name], cut_off[name]) for name in whole)
    assert (tmp_path / "whole" / "judged_stage_1.json").exists()


def test_steps_read_on_and_each_stage_begins_anew(target, tmp_path, monkeypatch):
    step, seen = recipe.Training._step, []

    def watched(training, rows):
        progress = training.progress
        seen.append((progress.stage, progress.step, progress.row, len(training.optimiser.state)))
        return step(training, rows)

    monkeypatch.setattr(recipe.Training, "_step", watched)
    training = _training(tmp_path, target, PLAN)
    training.run()
    parameters = len(list(training.head.parameters()))
    stage = [(number, 4 * number, parameters if number else 0) for number in range(10)]
    assert seen == [(0, *row) for row in stage] + [(1, *row) for row in stage]
    found = json.loads((tmp_path / "judged_stage_1.json").read_text())
    card = (tmp_path / "head" / "MODEL_CARD.md").read_text()
    lookup = found["draft_len_4"]["lookup"]
    assert f"| lookup | {lookup['tokens_per_pass']:.3f} | {lookup['interval'][0]:.3f} to" in card
    assert "360 tokens that the target wrote" in card


def test_the_gate_refuses_and_can_be_passed(target, tmp_path):
    plan = replace(PLAN, gate_match=1.1)
    with pytest.raises(recipe.GateRefusedError, match=r"below 1\.1"):
        _training(tmp_path, target, plan).run()
    assert not (tmp_path / "judged_stage_1.json").exists()
    with pytest.raises(recipe.GateRefusedError):
        _training(tmp_path, target, plan).run()  # asked again: no training goes on behind it
    _training(tmp_path, target, replace(plan, past_gate=True)).run()
    assert (tmp_path / "judged_stage_1.json").exists()


def test_minutes_shrink_the_second_stage(target, tmp_path):
    plan = replace(PLAN, passes=10**9, minutes=0.02)
    training = _training(tmp_path, target, plan)
    training.run()
    assert training.progress.stage == 2
    assert '"event": "fitted"' in (tmp_path / "log.jsonl").read_text()


def test_files_keep_what_was_written(target, tmp_path):
    PROMPTS.save(tmp_path / "prompts.npz")
    assert Prompts.load(tmp_path / "prompts.npz") == PROMPTS
    save_held_out(tmp_path / "held.npz", HELD_OUT)
    assert load_held_out(tmp_path / "held.npz") == HELD_OUT
    head = head_of(target)
    head.save(tmp_path, torch.tensor([3, 4, 9]), target.embedding, {"tokens": 5})
    found, vocabulary = DraftHead.load(tmp_path)
    assert vocabulary.tolist() == [3, 4, 9]
    torch.testing.assert_close(found.fc.weight, head.fc.weight.bfloat16().float())


def test_a_store_of_another_shape_is_refused(target, tmp_path):
    store_of(tmp_path, target).add()
    with pytest.raises(ValueError, match=r"holds \(6, 30\), not rows=6 x length=20"):
        Store(tmp_path, target, PROMPTS, rows=6, length=20, seed=3).add()

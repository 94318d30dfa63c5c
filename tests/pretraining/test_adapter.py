"""The recipe of an adapter: its start by least squares, what it learns, its file, its command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

from tests.pretraining.conftest import END
from tokenarium.backend.pretraining.__main__ import _parser
from tokenarium.backend.pretraining.adapter.adapter import Adapter
from tokenarium.backend.pretraining.adapter.command import read_shard
from tokenarium.backend.pretraining.adapter.training import (
    AdapterPlan,
    Read,
    closed_form,
    judge,
    shape_of,
    train,
)
from tokenarium.backend.pretraining.draft_head.target import Target


@pytest.fixture(scope="module")
def read(target: Target) -> list[Read]:
    draw = torch.Generator().manual_seed(0)
    return [read_shard(target, torch.randint(3, 40, (12, 20), generator=draw), 1) for _ in range(3)]


def test_residuals_and_last_states_are_transformers_own(
    target: Target, model: LlamaForCausalLM
) -> None:
    ids = torch.arange(3, 15)[None]
    residual, hidden = read_shard(target, ids, 1)
    with torch.inference_mode():
        states = model(ids, output_hidden_states=True).hidden_states
    torch.testing.assert_close(residual, states[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(hidden, states[2], rtol=1e-4, atol=1e-5)


def test_start_is_the_least_squares_map_and_training_improves_on_it(
    target: Target, read: list[Read]
) -> None:
    torch.manual_seed(0)
    adapter = Adapter(shape_of(target, 1, 4, 2))
    closed_form(adapter, target, read[:2])
    residual, hidden = (torch.cat([each[side] for each in read[:2]]) for side in (0, 1))
    x = residual.flatten(0, 1).double().numpy()
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + target.eps)
    y = (hidden.flatten(0, 1) / target.norm).double().numpy()
    gram = x.T @ x
    gram += 1e-3 * np.diag(gram).mean() * np.eye(len(gram))
    expected = np.linalg.solve(gram, x.T @ y).T
    np.testing.assert_allclose(adapter.fc.weight.detach().numpy(), expected, atol=1e-4)
    before, told = judge(adapter, target, read[:2]), list[dict[str, float]]()
    assert before.match > 3 / 40
    train(adapter, target, read[:2], AdapterPlan(passes=20_000, batch=4, lr=5e-3), told.append)
    after = judge(adapter, target, read[:2])
    assert after.match > before.match
    assert after.overlap > before.overlap + 0.02
    assert told[-1]["loss"] < told[0]["loss"]
    assert told[-1]["step"] == 20_000 // (4 * 20)


class _StoppedError(Exception):
    pass


def test_a_training_taken_up_again_ends_at_the_same_weights_and_the_gate_stops_one(
    target: Target, read: list[Read], tmp_path: Path
) -> None:
    steps = list[float]()

    def trained(checkpoint: Path | None, stop: int = 0, passes: int = 4_000) -> Adapter:
        def log(facts: dict[str, float]) -> None:
            steps.append(facts["step"])
            if facts["step"] == stop:
                raise _StoppedError

        torch.manual_seed(0)
        adapter = Adapter(shape_of(target, 1, 4, 2))
        closed_form(adapter, target, read[:2])
        plan = AdapterPlan(passes=passes, batch=4, gate_passes=800)
        gate = gates.append if checkpoint is None else lambda _: None
        train(adapter, target, read[:2], plan, log, checkpoint=checkpoint, gate=lambda: gate(1))
        return adapter

    gates, kept = list[int](), tmp_path / "adapter" / "checkpoint.pt"
    whole = trained(None)
    assert gates == [1]
    with pytest.raises(_StoppedError):
        trained(kept, stop=40)
    steps.clear()
    resumed = trained(kept)
    assert steps == [40, 50], "from the last checkpoint, which step 20 left"
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name
    with pytest.raises(ValueError, match="made with another passes: take the settings"):
        trained(kept, passes=8_000)


def test_the_command_writes_a_file_that_reads_alike(
    model: LlamaForCausalLM, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "target", tmp_path / "adapter"
    folder.mkdir()
    config = model.config.to_dict() | {"bos_token_id": 1, "eos_token_id": END}
    (folder / "config.json").write_text(json.dumps(config, default=str))
    save_file({k: v.clone() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    words = f"adapter --target {folder} --out {out} --layers 1 --shards 2 --rows 4 --length 24"
    asked = _parser().parse_args(f"{words} --passes 400 --gate 0.9".split())
    for _ in range(2):  # the second time it begins where the gate refused
        with pytest.raises(SystemExit) as refused:
            asked.command(asked)
        assert refused.value.code == 3
        assert "is below gate=0.9" in capsys.readouterr().out
    assert not (out / "config.json").exists()
    asked = _parser().parse_args(f"{words} --passes 400 --gate 0.9 --past-gate".split())
    asked.command(asked)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [*lines[-1]] == ["trained"]
    adapter, saved = Adapter.load(out), json.loads((out / "config.json").read_text())
    assert saved["match"] == lines[-1]["trained"]["match"]
    assert (adapter.shape.layers, adapter.shape.heads) == (1, 4)
    assert float(adapter.out.weight.detach().abs().max()) > 0, "it was trained"
    adapter.save(tmp_path / "again", model.get_input_embeddings().weight.detach(), {})
    again = Adapter.load(tmp_path / "again")
    for one, other in zip(adapter.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize(("layers", "heads", "groups"), [(2, 4, 2), (0, 4, 2), (1, 3, 2)])
def test_sizes_that_do_not_fit_are_refused(
    target: Target, layers: int, heads: int, groups: int
) -> None:
    with pytest.raises(ValueError, match=r"layers=\d is not between 1 and 1|heads=3 is no mul"):
        shape_of(target, layers, heads, groups)

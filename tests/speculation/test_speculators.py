"""Heads in the speculators format: what they read and guess, whose they are, what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from tests.contracts.test_drafters import rounds
from tests.speculation.conftest import Starts, text_ids
from tests.speculation.heads import random_speculator
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.jobs import CancelToken
from tokenarium.backend.speculation import head_folders
from tokenarium.backend.speculation.auditing.draft_checks import DraftedChildren
from tokenarium.backend.speculation.auditing.plain_head import plain_head
from tokenarium.backend.speculation.auditing.plain_reader import PlainReader
from tokenarium.backend.speculation.auditing.run import audit
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.runner import speculate
from tokenarium.backend.speculation.state_heads import speculators
from tokenarium.backend.speculation.state_heads.opening import open_head
from tokenarium.backend.speculation.state_heads.speculators import fitting_folder

KINDS = pytest.mark.parametrize("kind", ["eagle3", "mtp", "dflash"])


@KINDS
@torch.inference_mode()
def test_every_guess_is_that_of_one_pass_over_the_whole_text(
    starts: Starts, target: LoadedModel, kind: str
) -> None:
    one = Drafter.registry.find(kind)()
    state, seen = starts(one, text_ids(12), draft_len=4), 0
    for _ in range(4):
        before = list(state.ids)
        plain = plain_head(one.head, target, PlainReader(target), before, 4)
        [tree] = rounds(one, state, 1)
        for node, probs in tree.draft_probs.items():
            path = [tree.tokens[above] for above in tree.path(node)[1:]]
            logits = plain(DraftedChildren((*before, *path), (), (), depth=len(path)))
            own = state.processors.soft_probs(logits[None])[0]
            torch.testing.assert_close(probs, own, rtol=1e-4, atol=1e-6)
            assert kind == "mtp" or not own[6::7].any(), "ids that the head does not have"
            seen += bool(path)
    assert seen > 4


def _norm(x: Tensor, gain: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * gain


def _turned(x: Tensor, first: int) -> Tensor:
    """Rotary positions as complex numbers: pairs are d/2 apart."""
    length, size = x.shape[0], x.shape[-1]
    rates = 10_000.0 ** -(torch.arange(0, size, 2).double() / size)
    angles = torch.outer(torch.arange(first, first + length).double(), rates)[:, None]
    pairs = torch.complex(x[..., : size // 2].double(), x[..., size // 2 :].double())
    pairs = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([pairs.real, pairs.imag], -1)


def _layer(
    weights: dict, x: Tensor, reads: Tensor, first: int, context: Tensor | None = None
) -> Tensor:
    """One Qwen3 layer, place by place: x [T, d] is added to, ``reads`` [T, w] is attended with.

    With a context [first, w] a place sees all of it and all of ``reads``, else none after itself.
    """
    w = {name.partition("0.")[2]: each.double() for name, each in weights.items()}
    whole = reads if context is None else torch.cat([context, reads])
    q, k, v = (
        (each @ w[f"self_attn.{part}_proj.weight"].T).unflatten(-1, (-1, 8))
        for part, each in (("q", reads), ("k", whole), ("v", whole))
    )
    q = _turned(_norm(q, w["self_attn.q_norm.weight"]), first)
    k = _norm(k, w["self_attn.k_norm.weight"])
    k = _turned(k, first if context is None else 0)
    found = []
    for place in range(len(x)):
        heads, seen = [], place + 1 if context is None else len(whole)
        for head in range(4):
            scores = (k[:seen, head // 2] @ q[place, head]) * 8**-0.5
            heads.append(scores.softmax(0) @ v[:seen, head // 2])
        found.append(torch.cat(heads))
    x = x + torch.stack(found) @ w["self_attn.o_proj.weight"].T
    y = _norm(x, w["post_attention_layernorm.weight"])
    gate = functional.silu(y @ w["mlp.gate_proj.weight"].T) * (y @ w["mlp.up_proj.weight"].T)
    return x + gate @ w["mlp.down_proj.weight"].T


@pytest.mark.parametrize("flag", ["", "norm_before_residual", "fc_norm", "norm_output"])
@torch.inference_mode()
def test_an_eagle3_chain_is_the_formula_place_by_place(
    target: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    read = {"eagle_aux_hidden_state_layer_ids": [0, 1, 2]} | ({flag: True} if flag else {})
    folder = random_speculator(target, tmp_path / "head", "eagle3", **read)
    weights = load_file(folder / "model.safetensors")
    if flag == "fc_norm":
        gains = {f"fc_norm.{n}.weight": torch.rand(32) + 0.5 for n in range(3)}
        weights |= gains
        save_file(weights, folder / "model.safetensors")
    monkeypatch.setattr(speculators, "fitting_folder", lambda *_: folder)
    model: Any = target.model
    ids = text_ids(7)
    states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    w = {name: each.double() for name, each in weights.items()}
    parts = [states[after][0, :-1].double() for after in (0, 1, 2)]
    if flag == "fc_norm":
        parts = [_norm(part, w[f"fc_norm.{n}.weight"]) for n, part in enumerate(parts)]
    x = torch.cat(parts, -1) @ w["fc.weight"].T
    embedding = model.get_input_embeddings().weight.double()
    tokens, reader = ids[1:], open_head(target, "eagle3").reader(_from(target, ids), 4)
    logits = [reader.extend(ids)]
    for step in range(3):
        normed = _norm(x, w["layers.0.hidden_norm.weight"])
        beside = _norm(embedding[tokens], w["layers.0.input_layernorm.weight"])
        residual = normed if flag == "norm_before_residual" else x
        after = _layer(weights, residual, torch.cat([beside, normed], -1), 1)
        out = _norm(after, w["norm.weight"])
        own = _whole(out[-1:], w["lm_head.weight"])[0]
        torch.testing.assert_close(logits[-1].double(), own, rtol=1e-4, atol=1e-4)
        guess = int(own.argmax())
        logits.append(reader.read([guess], [step - 1])[0])
        x = torch.cat([x, (out if flag == "norm_output" else after)[-1:]])
        tokens = [*tokens, guess]


def _whole(out: Tensor, unembedding: Tensor) -> Tensor:
    own = torch.full((len(out), 272), -torch.inf, dtype=torch.double)
    own[:, torch.arange(272)[torch.arange(272) % 7 != 6]] = out @ unembedding.T
    return own


@torch.inference_mode()
def test_a_block_is_the_formula_place_by_place(
    target: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = target.model
    ids, embedding = text_ids(7), model.get_input_embeddings().weight.double()
    states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    for skip in (1, 0):
        asked = {"aux_hidden_state_layer_ids": [0, 2], "sample_from_anchor": not skip}
        folder = random_speculator(target, tmp_path / f"head{skip}", "dflash", **asked)
        monkeypatch.setattr(speculators, "fitting_folder", lambda *_, folder=folder: folder)
        weights = load_file(folder / "model.safetensors")
        w = {name: each.double() for name, each in weights.items()}
        fused = torch.cat([states[0][0], states[2][0]], -1)[:-1].double() @ w["fc.weight"].T
        context = _norm(fused, w["hidden_norm.weight"])
        x = embedding[[ids[-1], 3, 3, 3]]
        reads = _norm(x, w["layers.0.input_layernorm.weight"])
        out = _norm(_layer(weights, x, reads, 6, context), w["norm.weight"])
        own = _whole(out, w["lm_head.weight"])[skip:]
        kept = PlainReader(target).residuals(ids, (0, 2))[:-1]
        reader = open_head(target, "dflash").reader(lambda start, kept=kept: kept[start:], 4)
        found = [reader.extend(ids), reader.read([60], [-1])[0], reader.read([61], [0])[0]]
        assert reader.most == 4 - skip
        torch.testing.assert_close(torch.stack(found).double(), own[:3], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_a_multi_token_prediction_is_the_formula_place_by_place(
    target: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = random_speculator(target, tmp_path / "head", "mtp")
    weights = load_file(folder / "model.safetensors")
    monkeypatch.setattr(speculators, "fitting_folder", lambda *_: folder)
    model: Any = target.model
    embedding = model.get_input_embeddings().weight.double()
    unembedding = model.get_output_embeddings().weight.double()
    ids = text_ids(7)
    x = PlainReader(target).states(ids)[:-1]
    reader = open_head(target, "mtp").reader(lambda start, kept=x: kept[start:], 4)
    found, tokens, x = [reader.extend(ids)], ids[1:], x.double()
    w = {name.removeprefix("mtp_layers.0."): each.double() for name, each in weights.items()}
    for step in range(2):
        parts = (
            _norm(embedding[tokens], w["token_layernorm.weight"]),
            _norm(x, w["hidden_layernorm.weight"]),
        )
        y = torch.cat(parts, -1) @ w["input_proj.weight"].T
        y = _layer(weights, y, _norm(y, w["input_layernorm.weight"]), 0)
        out = _norm(y, w["final_layernorm.weight"])
        own = unembedding @ out[-1]
        torch.testing.assert_close(found[-1].double(), own, rtol=1e-4, atol=1e-4)
        tokens, x = [*tokens, int(own.argmax())], torch.cat([x, out[-1:]])
        found.append(reader.read(tokens[-1:], [step - 1])[0])


def _from(target: LoadedModel, ids: list[int]) -> Any:
    states = PlainReader(target).residuals(ids, (0, 1, 2))[:-1]
    return lambda start: states[start:]


def test_states_of_layers_are_kept_side_by_side(target: LoadedModel) -> None:
    ids, after = text_ids(7), (0, 1, 2, len(target.layers))
    reader = TreeReader(target, 20, keep_states=after)
    reader.extend(ids[:4])
    reader.read([ids[4], 60, ids[5], 61], [-1, -1, 0, 1])
    assert reader.keep([0, 2]) == 2
    reader.extend(ids[6:])
    model: Any = target.model
    with torch.inference_mode():
        out = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        kept = reader.states(0).chunk(4, -1)
        for layer, found in zip(after[:3], kept, strict=False):
            torch.testing.assert_close(found, out[layer][0], rtol=1e-4, atol=1e-5)
        normed = target.final_norm(kept[3])  # transformers norms the last of its states
        torch.testing.assert_close(normed, out[-1][0], rtol=1e-4, atol=1e-5)


@KINDS
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_run_is_audited_and_equal_to_plain_decoding(
    target: LoadedModel, kind: str, temperature: float
) -> None:
    above = "sample_and_match" if kind == "eagle3" else "speculative_sampling"
    request = SpeculateRequest(
        model="target",
        text="THE CAT SAT ON THE CAT SAT",
        drafter=kind,
        draft_len=3,
        max_new_tokens=16,
        rule=above if temperature else "greedy",
        temperature=temperature,
    )
    result = speculate(request, target, 2048, lambda _: None, CancelToken(), {})
    verdicts = {check["name"]: check["verdict"] for check in result.audit["checks"]}
    assert verdicts["draft law"] == "passed"
    assert "failed" not in verdicts.values()
    assert temperature or result.token_ids.tolist() == result.plain_ids.tolist()
    wrong = replace(result, node_columns=result.node_columns.copy())
    wrong.node_columns["q_raw"][result.node_columns["parent"] >= 0] *= 0.9
    checks = audit(wrong, request, target, None).as_dict()["checks"]
    assert {check["name"]: check["verdict"] for check in checks}["draft law"] == "failed"


def test_a_folder_is_for_the_model_that_it_names_and_its_sizes(
    target: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_folders, "own_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"no head of kind mtp is at hand.*put a folder"):
        fitting_folder(target, "mtp")
    other = {"verifier": {"name_or_path": "anyone/other-model"}}
    random_speculator(target, tmp_path / "a", "mtp", speculators_config=other)
    random_speculator(target, tmp_path / "b", "eagle3")
    with pytest.raises(ValueError, match=r"does not fit: a is for anyone/other-model\."):
        fitting_folder(target, "mtp")
    random_speculator(target, tmp_path / "c", "mtp", layer={"vocab_size": 300})
    with pytest.raises(ValueError, match=r"; c has 300 tokens, and the model has 272\."):
        fitting_folder(target, "mtp")
    random_speculator(target, tmp_path / "d", "mtp")
    assert fitting_folder(target, "mtp") == tmp_path / "d"
    assert fitting_folder(target, "eagle3") == tmp_path / "b"


@pytest.mark.parametrize(
    ("kind", "layer", "changes", "wrong"),
    [
        ("eagle3", {"model_type": "gemma3_text"}, {}, r"model_type='gemma3_text'.*llama and qwen3"),
        ("mtp", {"attention_bias": True, "hidden_act": "gelu"}, {}, "attention_bias, hidden_act"),
        ("mtp", {}, {"num_nextn_predict_layers": 2}, "num_nextn_predict_layers=2: 1 is read"),
        ("dflash", {}, {"mask_token_id": None}, "does not say mask_token_id"),
        ("dflash", {}, {"aux_hidden_state_layer_ids": [1, 90]}, r"after 1, 90 layers"),
        ("eagle3", {}, {"draft_vocab_size": 100}, r"100 of 272 tokens and has no d2t of 100"),
        ("eagle3", {}, {"norm_before_fc": True}, "no weight input_norm.weight"),
    ],
)
def test_what_is_not_read_is_refused_in_words(
    target: LoadedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    layer: dict[str, Any],
    changes: dict[str, Any],
    wrong: str,
) -> None:
    folder = random_speculator(target, tmp_path / "head", kind, layer, **changes)
    monkeypatch.setattr(speculators, "fitting_folder", lambda *_: folder)
    with pytest.raises(ValueError, match=wrong):
        open_head(target, kind).reader(_from(target, text_ids(5)), 4).extend(text_ids(5))

"""Kept sets against kvpress 0.5.5, from the same keys, values and hidden states.

kvpress needs an older transformers, so it runs in an environment of its own; name its Python in
TOKENARIUM_KVPRESS_PYTHON:

    python -m venv elsewhere
    elsewhere/bin/pip install torch "transformers>=4.56,<5.3" "numpy<3" "accelerate<2" \
        "cachetools<6" "fire<0.7" peft "pandas<3" datasets requests
    elsewhere/bin/pip install --no-deps kvpress==0.5.5
"""

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import DynamicCache, PreTrainedModel

from tests.cache.policies.conftest import kept
from tokenarium.backend.cache.head_roles import head_roles
from tokenarium.backend.cache.policies.cam import CaM

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]

PYTHON = os.environ.get("TOKENARIUM_KVPRESS_PYTHON")
LENGTH, BUDGET, WINDOW = 200, 50, 8
RATIO = {"compression_ratio": 0.75}
SNAPKV = ["SnapKVPress", RATIO | {"window_size": WINDOW, "kernel_size": 5}]
EXPECTED = ["ExpectedAttentionPress", RATIO | {"n_future_positions": 512, "epsilon": 0.01}]

PRESSES = {
    "snapkv": SNAPKV,
    "keydiff": ["KeyDiffPress", RATIO],
    "knorm": ["KnormPress", RATIO],
    "tova": ["TOVAPress", RATIO],
    "expected_attention": EXPECTED,
    "pyramidkv": ["PyramidKVPress", SNAPKV[1] | {"beta": 4}],
    # kvpress counts the window inside the floor: 12 and a fifth of the other 38 are 20 of 50.
    "adakv": [
        "AdaKVPress",
        {
            "press": ["SnapKVPress", RATIO | {"window_size": BUDGET // 4}],
            "alpha_safeguard": 0.4,
        },
    ],
    "adakv of keys": ["AdaKVPress", {"press": ["KeyDiffPress", RATIO]}],
}
OURS = {
    "snapkv": {"window": WINDOW},
    "keydiff": {},
    "knorm": {},
    "tova": {"newest": 1},
    "expected_attention": {"future": 512, "epsilon": 0.01},
    # kvpress counts the window inside the pyramid: its last layer has 50 / 4 in all, ours has the
    # window and (50 - 8) / beta.
    "pyramidkv": {"window": WINDOW, "beta": (BUDGET - WINDOW) / (BUDGET / 4 - WINDOW)},
    "adakv": {"base": "snapkv", "base_parameters": {"window": BUDGET // 4}},
    "adakv of keys": {"base": "keydiff"},
}


def states(model: PreTrainedModel, ids: list[int]) -> dict[str, np.ndarray]:
    """What kvpress's presses are given, by layer."""
    hidden: list[torch.Tensor] = []
    hooks = [
        layer.self_attn.q_proj.register_forward_pre_hook(lambda _, given: hidden.append(given[0]))
        for layer in model.model.layers
    ]
    cache = DynamicCache()
    with torch.inference_mode():
        model(torch.tensor([ids]), past_key_values=cache)
        cosine, sine = model.model.rotary_emb(hidden[0], torch.arange(len(ids))[None])
    for hook in hooks:
        hook.remove()
    found = {"cosine": cosine, "sine": sine}
    for layer, own in enumerate(cache.layers):
        found |= {f"hidden{layer}": hidden[layer]}
        found |= {f"keys{layer}": own.keys, f"values{layer}": own.values}
    return {name: tensor.numpy() for name, tensor in found.items()}


@pytest.mark.skipif(
    not PYTHON, reason="TOKENARIUM_KVPRESS_PYTHON names no environment with kvpress 0.5.5"
)
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_kept_sets_equal_those_of_kvpress(tiny, tmp_path, family):
    pair = tiny(family)
    ids = pair.prompt(LENGTH)
    pair.eager.save_pretrained(tmp_path)
    np.savez(tmp_path / "states.npz", **states(pair.eager, ids))
    recent = (6 * BUDGET - LENGTH) // 5 - 4  # what one whole head of six leaves the others
    roles = head_roles(pair.loaded, "probe")
    scores = np.maximum(roles.of_groups("echo"), roles.of_groups("induction"))
    duo = {"ratio": 5 / 6, "scores": scores.tolist(), "sink": 4, "recent": recent}
    think = {"key_channel_compression_ratio": 0.4, "window_size": 32}
    more = {"head_roles": ["DuoAttentionPress", duo], "think": ["ThinKPress", think]}
    (tmp_path / "presses.json").write_text(json.dumps(PRESSES | more))
    script = Path(__file__).with_name("kvpress_kept.py")
    run = subprocess.run(
        [PYTHON, script, tmp_path, tmp_path / "states.npz", tmp_path / "presses.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout.splitlines()[-1])
    assert answer["version"] == "0.5.5"
    for name, parameters in OURS.items():
        slug = name.split()[0]
        assert kept(pair.under(slug, BUDGET, ids, **parameters)) == answer["kept"][name], name
    # One head of six keeps everything, as the budget pays for one.
    ours = kept(pair.under("head_roles", BUDGET, ids, streaming=0.2))
    assert ours == answer["kept"]["head_roles"]
    assert sorted(len(own) for layer in ours for own in layer) == [4 + recent] * 5 + [LENGTH]
    thin = pair.under("think", BUDGET, ids, removed=0.4, window=32)
    channels = [layer.entries.channels.tolist() for layer in thin.layers]
    assert channels == answer["kept"]["think"]


@pytest.mark.skipif(
    not PYTHON, reason="TOKENARIUM_KVPRESS_PYTHON names no environment with kvpress 0.5.5"
)
def test_merged_values_equal_those_of_kvpress(tmp_path):
    """CaM, where chance has nothing to say: dropped tokens have no mass, or more than all kept."""
    draw = torch.Generator().manual_seed(8)
    cases, ours = [], []
    for budget, merged in ((5, 2), (7, 4), (3, 9)):
        scores, values = torch.rand(14, generator=draw), torch.randn(14, 6, generator=draw)
        stays = scores.topk(budget).indices.sort().values
        mass = torch.where(torch.arange(14) % 3 == 0, 0.0, 9.0)
        mass[stays] = 1 + torch.rand(budget, generator=draw)
        case = {"budget": budget, "merged": merged, "scores": scores.tolist()}
        cases.append(case | {"mass": mass.tolist(), "values": values.tolist()})
        policy, view = CaM(merged=merged), SimpleNamespace(random=draw)
        ours.append(policy._values(values, mass, stays, view)[stays])
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    script = Path(__file__).with_name("kvpress_merged.py")
    run = subprocess.run(
        [PYTHON, script, tmp_path / "cases.json"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout.splitlines()[-1])
    assert answer["version"] == "0.5.5"
    for own, theirs, case in zip(ours, answer["values"], cases, strict=True):
        torch.testing.assert_close(own, torch.tensor(theirs), rtol=0, atol=1e-6)
        plain = torch.tensor(case["values"])
        assert not (own[:, None] == plain[None]).all(-1).any(1).all(), "nothing was merged"

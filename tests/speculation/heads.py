"""Draft heads with random weights, for models that nobody trained one for."""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.pretraining.adapter.adapter import Adapter, AdapterShape
from tokenarium.backend.pretraining.draft_head.head import DraftHead, Shape
from tokenarium.backend.speculation import draft_heads
from tokenarium.backend.speculation.draft_heads import matching_folder
from tokenarium.backend.speculation.state_heads import speculators


def random_head(loaded: LoadedModel, folder: Path, seed: int = 0) -> Path:
    """Write a head for a model: random weights, every id but each seventh."""
    config: Any = loaded.model.config
    embedding: Any = loaded.model.get_input_embeddings()
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    torch.manual_seed(seed)
    head = DraftHead(Shape(config.hidden_size, heads, groups, size, 48, 1e-5))
    torch.nn.init.normal_(head.out.weight, std=0.2)
    torch.nn.init.normal_(head.down.weight, std=0.2)
    ids = torch.arange(len(embedding.weight))
    head.save(folder, ids[ids % 7 != 6], embedding.weight, {"target": loaded.name})
    return folder


def random_adapter(loaded: LoadedModel, folder: Path, seed: int = 0) -> Path:
    """Write an adapter for a model, over its first layer, with random weights."""
    config: Any = loaded.model.config
    embedding: Any = loaded.model.get_input_embeddings()
    torch.manual_seed(seed)
    adapter = Adapter(AdapterShape(1, config.hidden_size, 4, 2, 8, 1e-5))
    for linear in (adapter.fc, adapter.out):
        torch.nn.init.normal_(linear.weight, std=0.4)
    adapter.save(folder, embedding.weight.detach(), {"target": loaded.name})
    return folder


NAMES = {
    "eagle3": ("layers.0.", ("hidden_norm", "input_layernorm"), {"fc": 3, "norm": 0}),
    "mtp": (
        "mtp_layers.0.",
        ("hidden_layernorm", "token_layernorm", "final_layernorm", "input_layernorm"),
        {"mtp_layers.0.input_proj": 2},
    ),
    "dflash": ("layers.0.", ("input_layernorm",), {"fc": 2, "hidden_norm": 0, "norm": 0}),
}
"""By kind the prefix of its layer, the layer's norms, and other weights: how many widths each
reads, 0 for a norm."""


def random_speculator(
    loaded: LoadedModel,
    folder: Path,
    kind: str,
    layer: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Write a head in the speculators format: random weights, every id but each seventh."""
    model: Any = loaded.model
    vocabulary, width = model.get_input_embeddings().weight.shape
    heads, groups, size, inner = 4, 2, 8, 48
    own = {"model_type": "qwen3", "hidden_size": width, "vocab_size": vocabulary,
           "num_hidden_layers": 1, "num_attention_heads": heads, "num_key_value_heads": groups,
           "head_dim": size, "intermediate_size": inner, "rms_norm_eps": 1e-5}  # fmt: skip
    own |= layer or {}
    config = {"speculators_model_type": kind, "transformer_layer_config": own,
              "speculators_config": {"verifier": {"name_or_path": f"anyone/{loaded.name}"}},
              "eagle_aux_hidden_state_layer_ids": [1, 2, 3], "aux_hidden_state_layer_ids": [1, 3],
              "block_size": 4, "mask_token_id": 3}  # fmt: skip
    ids = torch.arange(vocabulary)
    ids = ids[ids % 7 != 6]
    if kind != "mtp":
        config["draft_vocab_size"] = len(ids)
    prefix, norms, others = NAMES[kind]
    wide = 2 * width if kind == "eagle3" else width
    shapes = {f"self_attn.{part}_proj": (many * size, wide)
              for part, many in (("q", heads), ("k", groups), ("v", groups))}  # fmt: skip
    shapes |= {"self_attn.o_proj": (width, heads * size), "mlp.down_proj": (width, inner)}
    shapes |= dict.fromkeys(("mlp.gate_proj", "mlp.up_proj"), (inner, width))
    shapes |= dict.fromkeys((*norms, "post_attention_layernorm"), (width,))
    if own["model_type"] == "qwen3":
        shapes |= dict.fromkeys(("self_attn.q_norm", "self_attn.k_norm"), (size,))
    named = {prefix + name: shape for name, shape in shapes.items()}
    named |= {name: (width, wide * width) if wide else (width,) for name, wide in others.items()}
    if kind != "mtp":
        named["lm_head"] = (len(ids), width)
    draw = torch.Generator().manual_seed(0)
    weights = {
        f"{name}.weight": torch.randn(*shape, generator=draw) * shape[-1] ** -0.5
        if len(shape) > 1
        else 1 + 0.2 * torch.randn(*shape, generator=draw)
        for name, shape in named.items()
    }
    if kind != "mtp":
        weights["lm_head.weight"] *= 3
        weights["d2t"] = ids - torch.arange(len(ids))
    folder.mkdir(parents=True)
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config | changes), "utf-8")
    return folder


@pytest.fixture(scope="session", autouse=True)
def every_model_has_a_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give every model a random head where none was trained for it."""
    folder = tmp_path_factory.mktemp("heads")

    @lru_cache
    def made(fingerprint: str) -> Path:
        return folder / str(len(list(folder.iterdir())))

    def matching(loaded: LoadedModel) -> Path:
        path = matching_folder(loaded) or made(loaded.fingerprint or str(id(loaded.model)))
        return path if path.exists() else random_head(loaded, path)

    def fitting(loaded: LoadedModel, kind: str) -> Path:
        path = made(f"{loaded.fingerprint or id(loaded.model)}")
        path = path.with_name(f"{path.name}-{kind}")
        return path if path.exists() else random_speculator(loaded, path, kind)

    def adapting(loaded: LoadedModel) -> Path:
        path = made(f"{loaded.fingerprint or id(loaded.model)}")
        path = path.with_name(f"{path.name}-adapter")
        return path if path.exists() else random_adapter(loaded, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draft_heads, "matching_folder", matching)
        patch.setattr(draft_heads, "adapter_folder", adapting)
        patch.setattr(speculators, "fitting_folder", fitting)
        yield

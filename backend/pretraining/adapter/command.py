"""Command line of the recipe of an adapter: text, closed form, training and judging in one."""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tokenarium.backend.pretraining.adapter.adapter import Adapter
from tokenarium.backend.pretraining.adapter.training import (
    AdapterPlan,
    Read,
    closed_form,
    judge,
    shape_of,
    train,
)
from tokenarium.backend.pretraining.draft_head.command import GATE_REFUSED
from tokenarium.backend.pretraining.draft_head.ragged import Prompts
from tokenarium.backend.pretraining.draft_head.recipe import GateRefusedError
from tokenarium.backend.pretraining.draft_head.self_play import Settings, play
from tokenarium.backend.pretraining.draft_head.target import Target

_AT_ONCE = 16
"""Texts that are read in one pass."""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--target", type=Path, required=True, help="folder of a Llama model")
    parser.add_argument("--out", type=Path, required=True, help="folder of the adapter")
    parser.add_argument("--layers", type=int, default=2, help="of the target, before the adapter")
    parser.add_argument("--heads", type=int, help="query heads; the target's if left out")
    parser.add_argument("--groups", type=int, help="key-value heads; the target's if left out")
    parser.add_argument("--prompts", type=Path, help="of the draft-head recipe, for a chat model")
    parser.add_argument("--shards", type=int, default=9, help="of text; the last is held out")
    parser.add_argument("--rows", type=int, default=96, help="texts of a shard")
    parser.add_argument("--length", type=int, default=256, help="tokens of a text")
    parser.add_argument("--passes", type=int, default=AdapterPlan.passes, help="tokens, repeats")
    parser.add_argument("--gate", type=float, default=0.38, help="least share of first matches")
    parser.add_argument("--gate-passes", type=int, default=AdapterPlan.gate_passes)
    parser.add_argument("--past-gate", action="store_true", help="train on though it refuses")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    target = Target.load(arguments.target, arguments.device)
    heads, groups = arguments.heads or target.heads, arguments.groups or target.groups
    torch.manual_seed(arguments.seed)
    adapter = Adapter(shape_of(target, arguments.layers, heads, groups)).to(target.device)
    prompts, settings = _beginnings(arguments.prompts, target)
    read: list[Read] = []
    for shard in range(arguments.shards):
        seed = arguments.seed + shard
        path = arguments.out / "text" / f"{shard:04d}.safetensors"
        ids = _written(path, (arguments.rows, arguments.length))
        if ids is None:
            ids, _ = play(target, prompts, arguments.rows, arguments.length, seed, settings)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({"ids": ids.int()}, path.with_suffix(".partial"))
            path.with_suffix(".partial").replace(path)
        read.append(read_shard(target, ids, arguments.layers))
        print(json.dumps({"shard": shard + 1, "tokens": ids.numel()}), flush=True)
    held_out = [read.pop()]
    closed_form(adapter, target, read)
    print(json.dumps({"closed form": vars(judge(adapter, target, held_out))}), flush=True)
    plan = AdapterPlan(
        passes=arguments.passes, seed=arguments.seed, gate_passes=arguments.gate_passes
    )

    def gate() -> None:
        found = judge(adapter, target, held_out)
        print(json.dumps({"gate": vars(found)}), flush=True)
        if found.match < arguments.gate and not arguments.past_gate:
            raise GateRefusedError(
                f"match {found.match:.3f} is below gate={arguments.gate:g}: the adapter would not "
                "pay; lower --gate or say --past-gate to go on from the checkpoint"
            )

    try:
        train(
            adapter,
            target,
            read,
            plan,
            lambda facts: print(json.dumps(facts), flush=True),
            checkpoint=arguments.out / "checkpoint.pt",
            gate=gate,
        )
    except GateRefusedError as refused:
        print(refused)
        raise SystemExit(GATE_REFUSED) from refused
    found = vars(judge(adapter, target, held_out))
    print(json.dumps({"trained": found}), flush=True)
    adapter.save(arguments.out, target.embedding, {"target": target.name, **found})


def _written(path: Path, shape: tuple[int, int]) -> torch.Tensor | None:
    """Return the ids [B, T] of a text that was written before; None where there is none."""
    if not path.is_file():
        return None
    ids = load_file(path)["ids"].long()
    if ids.shape != shape:
        raise ValueError(
            f"{path} holds {tuple(ids.shape)}, not rows={shape[0]} x length={shape[1]}: take the "
            "settings it was made with, or another folder"
        )
    return ids


def read_shard(target: Target, ids: torch.Tensor, layers: int) -> Read:
    """Return the residuals after ``layers`` layers and last states of texts of ids [B, T]."""
    parts = [target.read_with(x.to(target.device), layers) for x in ids.split(_AT_ONCE)]
    residuals, hidden = zip(*parts, strict=True)
    # Trained on, and so no inference tensors.
    return torch.cat(residuals).clone(), torch.cat(hidden).clone()


def _beginnings(path: Path | None, target: Target) -> tuple[Prompts, Settings]:
    """Return what texts begin with: chats as given, else the token that begins any text."""
    if path is not None:
        return Prompts.load(path), Settings()
    begin, end = (int(target.config[f"{name}_token_id"]) for name in ("bos", "eos"))
    return Prompts([begin], [], [], end, []), Settings(user_tokens=10**9)

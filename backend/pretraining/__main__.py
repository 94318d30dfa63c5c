"""Command line of the recipes: the bundled models (``tokenizer`` to ``export``), ``draft-head``,
``adapter``."""

import argparse
import os
from itertools import chain
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from transformers import LlamaForCausalLM

from tokenarium.backend.pretraining import corpus, measures, recipe, training
from tokenarium.backend.pretraining.adapter import command as adapter
from tokenarium.backend.pretraining.corpus import Windows
from tokenarium.backend.pretraining.draft_head import command as draft_head
from tokenarium.backend.pretraining.schedule import Schedule
from tokenarium.backend.pretraining.tokenizer import load_tokenizer, sample, train_tokenizer


def main() -> None:
    arguments = _parser().parse_args()
    arguments.command(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tokenarium.backend.pretraining", description=__doc__
    )
    commands = parser.add_subparsers(required=True)

    one = commands.add_parser("tokenizer", help="train the shared tokenizer")
    one.add_argument("--text", type=Path, nargs="+", required=True)
    one.add_argument("--vocab-size", type=int, default=6144)
    one.add_argument("--characters", type=int, default=40_000_000, help="text used at most")
    one.add_argument("--out", type=Path, required=True)
    one.set_defaults(command=_tokenizer)

    two = commands.add_parser("data", help="encode text files as one array of token ids")
    two.add_argument("--text", type=Path, nargs="+", required=True)
    two.add_argument("--tokenizer", type=Path, required=True)
    two.add_argument("--out", type=Path, required=True)
    two.set_defaults(command=_data)

    three = commands.add_parser("train", help="train or resume; start several with torchrun")
    three.add_argument("--model", choices=sorted(recipe.SHAPES), required=True)
    three.add_argument("--folder", type=Path, required=True, help="checkpoint and log go here")
    three.add_argument("--data", type=Path, required=True, help="folder of train.npy, tokenizer")
    three.add_argument("--partner", type=Path, help="other model: acceptance is logged against it")
    three.add_argument("--optimiser", choices=["adamw", "muon"], default="muon")
    three.add_argument("--lr", type=float, default=3e-3)
    three.add_argument("--weight-decay", type=float, default=0.1)
    three.add_argument("--length", type=int, default=256, help="tokens per window")
    three.add_argument("--context", type=int, default=1024, help="stated in the configuration")
    three.add_argument("--batch", type=int, default=32, help="windows per step")
    three.add_argument("--micro-batch", type=int, default=16, help="windows per forward pass")
    three.add_argument("--warmup-tokens", type=int, default=500_000)
    three.add_argument("--decay-from", type=int, help="tokens after which the rate falls")
    three.add_argument("--decay-tokens", type=int, default=0)
    three.add_argument("--minutes", type=float, default=60.0, help="stop after this time")
    three.add_argument("--save-minutes", type=float, default=10.0)
    three.add_argument("--device", default="cpu")
    three.add_argument("--threads", type=int, default=1, help="per process")
    three.add_argument("--compile", action="store_true")
    three.add_argument("--seed", type=int, default=0)
    three.set_defaults(command=_train)

    four = commands.add_parser("evaluate", help="bits per byte, sinks, agreement")
    four.add_argument("--folder", type=Path, required=True, help="checkpoint or exported model")
    four.add_argument("--data", type=Path, required=True)
    four.add_argument("--partner", type=Path)
    four.add_argument("--windows", type=int, default=256)
    four.add_argument("--length", type=int, default=1024)
    four.set_defaults(command=_evaluate)

    five = commands.add_parser("export", help="write bf16 safetensors in shards under 16 MiB")
    five.add_argument("--folder", type=Path, required=True)
    five.add_argument("--data", type=Path, required=True)
    five.add_argument("--out", type=Path, required=True)
    five.set_defaults(command=_export)

    draft_head.add(commands.add_parser("draft-head", help="a draft head for a chat model"))
    adapter.add(commands.add_parser("adapter", help="an adapter after a model's first layers"))
    return parser


def _documents(paths: list[Path]) -> chain[str]:
    return chain.from_iterable(corpus.read_documents(path) for path in paths)


def _tokenizer(arguments: argparse.Namespace) -> None:
    texts = sample(_documents(arguments.text), arguments.characters)
    train_tokenizer(texts, arguments.vocab_size).save_pretrained(arguments.out)


def _data(arguments: argparse.Namespace) -> None:
    ids = corpus.encode(load_tokenizer(arguments.tokenizer), _documents(arguments.text))
    np.save(arguments.out, ids)
    print(f"{len(ids):,} tokens in {arguments.out}")


def _train(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("nccl" if arguments.device == "cuda" else "gloo")
    main_process = not dist.is_initialized() or dist.get_rank() == 0
    tokenizer = load_tokenizer(arguments.data / "tokenizer")
    bos = tokenizer.bos_token_id
    model = LlamaForCausalLM(
        recipe.configuration(
            arguments.model, len(tokenizer), bos, tokenizer.eos_token_id, arguments.context
        )
    ).to(arguments.device)
    optimisers = recipe.optimisers(model, arguments.optimiser, arguments.lr, arguments.weight_decay)
    progress = training.load_checkpoint(arguments.folder, model, optimisers)
    ids = np.load(arguments.data / "train.npy", mmap_mode="r")
    held_out = np.load(arguments.data / "validation.npy", mmap_mode="r")
    short = Windows(held_out, 64, bos, seed=1)
    partner = LlamaForCausalLM.from_pretrained(arguments.partner) if arguments.partner else None

    def log(row: dict[str, float]) -> None:
        if not main_process:
            return
        found = measures.sinks(model, short)
        extra: dict[str, object] = {
            "sink_rate": round(found.rate(), 4),
            "first_mass_by_layer": [round(float(x), 4) for x in found.first_mass.mean(1)],
            "highest_first_mass": round(float(found.first_mass.max()), 4),
        }
        if partner is not None:
            top, accepted = measures.agreement(model, partner, short)
            extra |= {"top1_agreement": round(top, 4), "acceptance": round(accepted, 4)}
        rounded = {key: round(value, 4) for key, value in row.items()}
        training.append_json_line(arguments.folder / "log.jsonl", rounded | extra)

    loss_of = training.next_token_loss
    if arguments.compile:
        loss_of = torch.compile(loss_of, dynamic=False)
    schedule = Schedule(arguments.warmup_tokens, arguments.decay_from, arguments.decay_tokens)
    left = arguments.minutes
    while left > 0 and not schedule.finished(progress.tokens):
        part = min(left, arguments.save_minutes)
        training.train(
            model,
            optimisers,
            lambda length: Windows(ids, length, bos, arguments.seed),
            schedule,
            progress,
            length=arguments.length,
            batch=arguments.batch,
            micro_batch=arguments.micro_batch,
            minutes=part,
            log=log,
            loss_of=loss_of,
        )
        left -= part
        if main_process:
            training.save_checkpoint(arguments.folder, model, optimisers, progress)
    if dist.is_initialized():
        dist.destroy_process_group()


def _load(folder: Path, data: Path) -> LlamaForCausalLM:
    if (folder / "config.json").exists():
        ready: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        ready.eval()
        return ready
    state = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)["model"]
    tokenizer = load_tokenizer(data / "tokenizer")
    hidden = state["model.embed_tokens.weight"].shape[1]
    name = next(n for n, shape in recipe.SHAPES.items() if shape["hidden_size"] == hidden)
    model = LlamaForCausalLM(
        recipe.configuration(
            name, len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id, 1024
        )
    )
    model.load_state_dict(state)
    model.eval()
    return model


def _evaluate(arguments: argparse.Namespace) -> None:
    tokenizer = load_tokenizer(arguments.data / "tokenizer")
    model = _load(arguments.folder, arguments.data)
    held_out = np.load(arguments.data / "validation.npy", mmap_mode="r")
    bos = tokenizer.bos_token_id
    spoken = len(str(tokenizer.decode(held_out[:200_000])).encode())
    windows = Windows(held_out, arguments.length, bos, seed=1)
    bits = measures.bits_per_byte(model, windows, arguments.windows, spoken / 200_000)
    found = measures.sinks(model, Windows(held_out, 64, bos, seed=1), 128)
    print(f"bits per byte {bits:.4f} over {arguments.windows} windows of {arguments.length}")
    print(f"sink rate {found.rate():.3f}, by layer {found.first_mass.mean(1).round(3)}")
    if arguments.partner:
        top, accepted = measures.agreement(
            model, _load(arguments.partner, arguments.data), Windows(held_out, 256, bos, 1), 64
        )
        print(f"top-1 agreement {top:.3f}, acceptance {accepted:.3f}")


def _export(arguments: argparse.Namespace) -> None:
    model = _load(arguments.folder, arguments.data)
    model.bfloat16()
    model.save_pretrained(arguments.out, max_shard_size="15MB")
    tokenizer = load_tokenizer(arguments.data / "tokenizer")
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.save_pretrained(arguments.out)
    for file in arguments.out.iterdir():
        file.chmod(0o644)


if __name__ == "__main__":
    main()

"""Command line of the recipe: ``prompts``, ``held-out``, ``answer``, ``train``, ``judge``."""

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path

import torch

from tokenarium.backend.pretraining.draft_head.evaluation import Judge, summary
from tokenarium.backend.pretraining.draft_head.head import DraftHead, shrink
from tokenarium.backend.pretraining.draft_head.ragged import (
    HeldOut,
    Prompts,
    load_held_out,
    save_held_out,
)
from tokenarium.backend.pretraining.draft_head.recipe import GateRefusedError, Plan, Training
from tokenarium.backend.pretraining.draft_head.self_play import answer
from tokenarium.backend.pretraining.draft_head.store import Store
from tokenarium.backend.pretraining.draft_head.target import Target

GATE_REFUSED = 3  # exit code


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the commands below ``parser``."""
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("prompts", help="turn what users begin with into token ids")
    one.add_argument("--target", type=Path, required=True, help="folder with the tokenizer")
    one.add_argument("--questions", type=Path, help="Question:/Answer: paragraphs")
    one.add_argument("--passages", type=Path, help="documents to summarise pieces of")
    one.add_argument("--passage-count", type=int, default=1500)
    one.add_argument("--parallel", type=Path, help="JSON object: language to text")
    one.add_argument(
        "--languages", nargs="+", default=["French", "German", "Portuguese", "Spanish"]
    )
    one.add_argument("--longest", type=int, default=300, help="tokens of an opening at most")
    one.add_argument("--out", type=Path, required=True)
    one.set_defaults(command=_prompts)

    two = commands.add_parser("held-out", help="chats never trained on, as token ids")
    two.add_argument("--target", type=Path, required=True, help="folder with the tokenizer")
    two.add_argument("--chats", type=Path, required=True, help="JSON lines: category, turns")
    two.add_argument("--longest", type=int, default=1024, help="tokens of a prompt at most")
    two.add_argument("--out", type=Path, required=True)
    two.set_defaults(command=_held_out)

    between = commands.add_parser("answer", help="the target's own answers to held-out chats")
    between.add_argument("--prompts", type=Path, required=True)
    between.add_argument("--held-out", type=Path, required=True)
    between.add_argument("--tokens", type=int, default=128, help="of an answer at most")
    between.add_argument("--rows", type=int, default=16, help="chats answered side by side")
    between.add_argument("--every", type=int, default=1, help="take every n-th chat only")
    between.add_argument("--out", type=Path, required=True)
    _target(between)
    between.set_defaults(command=_answer)

    three = commands.add_parser("train", help="train a head, or go on with one")
    three.add_argument("--prompts", type=Path, required=True)
    three.add_argument("--held-out", type=Path, required=True)
    three.add_argument("--folder", type=Path, required=True, help="text, checkpoint, log, head")
    three.add_argument("--rows", type=int, default=96, help="chats written side by side")
    three.add_argument("--length", type=int, default=448, help="tokens of a chat")
    three.add_argument("--past-gate", action="store_true", help="train on though the gate refuses")
    three.add_argument("--minutes", type=float, help="of the second stage's training, at most")
    for name in _NUMBERS:
        default = Plan.__dataclass_fields__[name].default
        three.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    _target(three)
    three.set_defaults(command=_train)

    four = commands.add_parser("judge", help="judge a head on held-out chats")
    four.add_argument("--held-out", type=Path, required=True)
    four.add_argument("--head", type=Path, required=True, help="folder with head.safetensors")
    _target(four)
    four.set_defaults(command=_judge)

    five = commands.add_parser(
        "shrink", help="write a head's matrices in eight bits: half the file"
    )
    five.add_argument("--head", type=Path, required=True, help="folder with head.safetensors")
    five.add_argument("--out", type=Path, required=True, help="folder that is not there yet")
    five.set_defaults(command=lambda given: shrink(given.head, given.out))


_NUMBERS = [f.name for f in fields(Plan) if f.name not in ("past_gate", "minutes")]


def _target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", type=Path, required=True, help="folder of the target model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--threads", type=int, default=1)


def _load(arguments: argparse.Namespace) -> Target:
    torch.set_num_threads(arguments.threads)
    return Target.load(arguments.target, arguments.device, getattr(torch, arguments.dtype))


def _prompts(arguments: argparse.Namespace) -> None:
    from transformers import AutoTokenizer

    from tokenarium.backend.pretraining.draft_head.prompts import chat_prompts

    tokenizer = AutoTokenizer.from_pretrained(arguments.target)
    found = chat_prompts(tokenizer, _whole_turns(arguments), arguments.longest)
    found.save(arguments.out)
    print(f"{len(found.openings):,} openings, prefix of {len(found.prefix)} tokens")


def _whole_turns(arguments: argparse.Namespace) -> dict[str, list[str]]:
    from tokenarium.backend.pretraining.draft_head import turns

    found: dict[str, list[str]] = {}
    if arguments.questions:
        found["questions"] = list(turns.questions(arguments.questions))
    if arguments.passages:
        found["passages"] = list(turns.passages(arguments.passages, arguments.passage_count))
    if arguments.parallel:
        found["translations"] = list(turns.translations(arguments.parallel, arguments.languages))
    return found


def _held_out(arguments: argparse.Namespace) -> None:
    from transformers import AutoTokenizer

    from tokenarium.backend.pretraining.draft_head.prompts import chat_ids

    tokenizer = AutoTokenizer.from_pretrained(arguments.target)
    lines = arguments.chats.read_text("utf-8").splitlines()
    chats = [json.loads(line) for line in lines if line.strip()]
    asked = [HeldOut(c["category"], chat_ids(tokenizer, c["turns"][0]), []) for c in chats]
    kept = [chat for chat in asked if len(chat.prompt) <= arguments.longest]
    save_held_out(arguments.out, kept)
    print(f"{len(kept)} chats, {len(asked) - len(kept)} above {arguments.longest} tokens left out")


def _answer(arguments: argparse.Namespace) -> None:
    target, end = _load(arguments), Prompts.load(arguments.prompts).end
    chats = load_held_out(arguments.held_out)[:: arguments.every]
    chats.sort(key=lambda chat: len(chat.prompt))
    found: list[HeldOut] = []
    for start in range(0, len(chats), arguments.rows):
        part = chats[start : start + arguments.rows]
        answers = answer(target, [chat.prompt for chat in part], arguments.tokens, end)
        found += [replace(chat, answer=a) for chat, a in zip(part, answers, strict=True)]
        print(f"{len(found)} of {len(chats)} chats answered", flush=True)
    save_held_out(arguments.out, found)


def _train(arguments: argparse.Namespace) -> None:
    plan = Plan(
        past_gate=arguments.past_gate,
        minutes=arguments.minutes,
        **{name: getattr(arguments, name) for name in _NUMBERS},
    )
    store = Store(
        arguments.folder / "text",
        _load(arguments),
        Prompts.load(arguments.prompts),
        arguments.rows,
        arguments.length,
        plan.seed,
    )
    try:
        Training(arguments.folder, store, load_held_out(arguments.held_out), plan).run()
    except GateRefusedError as refused:
        print(refused)
        raise SystemExit(GATE_REFUSED) from refused


def _judge(arguments: argparse.Namespace) -> None:
    target = _load(arguments)
    head, vocabulary = DraftHead.load(arguments.head)
    judge = Judge(target, load_held_out(arguments.held_out))
    found = judge.judge(head.to(target.device), vocabulary.to(target.device))
    print(json.dumps(summary(found), indent=2))

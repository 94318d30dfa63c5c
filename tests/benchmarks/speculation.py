"""What drafting saves: ``python -m tests.benchmarks.speculation`` prints tokens per second.

Greedy decoding of the bundled target, or of the model in ``--target``, by every drafter that it has
what for, without drafts, and by transformers: alone, with an assistant and with prompt lookup.
Every prompt is continued by every method in turn, in an order that rotates; times are of whole
calls, the prompt included.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from tokenarium.backend.environment import commit, device_name, versions
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.settings import PROJECT
from tokenarium.backend.speculation.autoregressive import StoppingCriteria, generate_autoregressive
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.engine import Speculator
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.vocabulary import compare

Method = Callable[[list[int]], tuple[int, int]]
"""From a prompt to new tokens and passes of the target."""

FOLDERS = {name: PROJECT / "assets/models" / name for name in ("target", "draft")}
STORY = (
    "Once upon a time there was a little girl who lived",
    "The old king had three sons, and the youngest",
    "It was a dark night, and the wind blew through",
    "Long ago, in a village by the sea, a fisherman",
    "The fox looked up at the grapes and said",
    "A poor woodcutter and his wife had no bread in",
    "When the sun rose over the hills, the soldier",
)
QUESTION = (
    "Question: Why is the sky dark at night? Answer: The",
    "“Where are you going?” asked the wolf. “I am going",
    "What is the use of a book without pictures? she",
    "“Who are you?” said the Caterpillar. Alice replied",
    "How far is it to the castle? The old man said it",
    "“Why do you weep?” said the prince to the maiden. She",
    "What shall we do now? the brothers asked each other, and",
)
COPYING = tuple(
    f"{line} {line} {line.split(',')[0]},"
    for line in (
        "The cat sat on the mat, and the dog lay by the door.",
        "One for the master, one for the dame, and one for the little boy.",
        "Mirror, mirror on the wall, who is the fairest of them all?",
        "Row, row, row the boat, gently down the stream.",
        "The king was in the counting house, counting out his money.",
        "Red is the rose, blue is the sea, and green is the grass.",
    )
)
KINDS = {"story": STORY, "question": QUESTION, "copying": COPYING}
OURS: dict[str, tuple[str, dict[str, object], int, int]] = {
    "draft_chain": ("draft_chain", {}, 4, 16),
    "topk_tree": ("topk_tree", {}, 4, 16),
    "dyspec": ("dyspec", {}, 4, 16),
    "gumbel_tree": ("gumbel_tree", {}, 4, 16),
    "iid_tree": ("iid_tree", {}, 4, 16),
    "early_exit": ("early_exit", {}, 4, 16),
    "prompt_lookup": ("prompt_lookup", {}, 8, 16),
    "prompt_lookup as transformers'": (
        "prompt_lookup",
        {"longest": 2, "match": "first", "goes_on": False},
        10,
        16,
    ),
    "trie_lookahead": ("trie_lookahead", {}, 8, 16),
    "token_recycling": ("token_recycling", {}, 8, 16),
    "token_recycling, 32 nodes": ("token_recycling", {}, 8, 32),
    "aded": ("aded", {}, 8, 16),
    "jacobi": ("jacobi", {}, 8, 16),
    "stochastic_beam": ("stochastic_beam", {}, 4, 16),
    "spec_dec_pp": ("spec_dec_pp", {}, 8, 16),
    "llmcad": ("llmcad", {}, 4, 16),
    "s2d": ("s2d", {}, 4, 16),
    "del": ("del", {}, 4, 16),
    "kangaroo": ("kangaroo", {}, 4, 16),
    "feature_head, 2": ("feature_head", {}, 2, 16),
    "lookup_else": ("lookup_else", {}, 4, 16),
}
"""Name in the table: drafter, its parameters, draft length, tree budget."""


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.speculation", description=__doc__
    )
    options.add_argument("--dtypes", nargs="*", default=["float32", "bfloat16"])
    options.add_argument("--target", type=Path, default=FOLDERS["target"], help="a folder")
    options.add_argument(
        "--draft", type=Path, default=FOLDERS["draft"], help="a folder; of the bundled target only"
    )
    options.add_argument("--tokens", type=int, default=64, help="new tokens of every prompt")
    options.add_argument("--only", nargs="*", default=None, help="methods, by name")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = options.parse_args()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    libraries = ", ".join(f"{name} {version}" for name, version in versions().items())
    folders = {"target": asked.target, "draft": asked.draft}
    if asked.target != FOLDERS["target"] and asked.draft == FOLDERS["draft"]:
        folders["draft"] = None
    named = " drafted for by ".join(folder.name for folder in folders.values() if folder)
    print(f"commit {commit()}; {named}, {libraries}, on {device_name(asked.device)}, ", end="")
    print(f"{torch.get_num_threads()} threads; load average {os.getloadavg()[0]:.1f}")
    for dtype in asked.dtypes:
        methods, tokenizer = methods_of(folders, dtype, asked.device, asked.tokens)
        if asked.only is not None:
            methods = {name: methods[name] for name in ("plain", *asked.only) if name in methods}
        for kind, prompts in KINDS.items():
            ids = [tokenizer(text)["input_ids"] for text in prompts]
            _print_rows(f"{kind}, {dtype}", rows_of(methods, ids))


def methods_of(
    folders: dict[str, Path | None], dtype: str, device: str, count: int
) -> tuple[dict[str, Method], AutoTokenizer]:
    """Return every method by name, plain decoding first, and the tokenizer of the target."""
    target, draft = (
        folder and load(ModelSource(name, folder, None, name), dtype, device, 1024)
        for name, folder in folders.items()
    )
    methods: dict[str, Method] = {"plain": _plain(target, count)}
    for name, (slug, parameters, draft_len, budget) in OURS.items():
        drafter = Drafter.registry.find(slug).model_validate(parameters)
        if drafter.source == "draft_model" and draft is None:
            continue
        method = _ours(target, draft, drafter, draft_len, budget, count)
        try:
            method([1, 2, 3])
        except ValueError as error:
            print(f"left out: {name}: {error}")
            continue
        methods[name] = method
    twins = {
        name: AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation="sdpa", dtype=getattr(torch, dtype)
        )
        .to(device)
        .eval()
        for name, folder in folders.items()
        if folder
    }
    methods["transformers, plain"] = _theirs(twins["target"], count)
    if "draft" in twins:
        twins["draft"].generation_config.num_assistant_tokens = 4
        twins["draft"].generation_config.num_assistant_tokens_schedule = "constant"
        twins["draft"].generation_config.assistant_confidence_threshold = 0.0
        methods["transformers, assistant"] = _theirs(
            twins["target"], count, assistant_model=twins["draft"]
        )
    methods["transformers, prompt lookup"] = _theirs(
        twins["target"], count, prompt_lookup_num_tokens=10, max_matching_ngram_size=2
    )
    return methods, AutoTokenizer.from_pretrained(folders["target"])


def _plain(target: LoadedModel, count: int) -> Method:
    def decode(prompt: list[int]) -> tuple[int, int]:
        found, _ = generate_autoregressive(
            TreeReader(target, len(prompt) + count),
            prompt,
            Processors(),
            StoppingCriteria(target, count),
            np.random.default_rng(0),
        )
        return len(found), len(found)

    return decode


def _ours(
    target: LoadedModel,
    draft: LoadedModel | None,
    drafter: Drafter,
    draft_len: int,
    budget: int,
    count: int,
) -> Method:
    asks = drafter.source == "draft_model"
    shared = compare(target, draft) if asks and draft else None

    def decode(prompt: list[int]) -> tuple[int, int]:
        speculator = Speculator.of_models(
            target,
            draft if asks else None,
            drafter,
            Rule.registry.find("greedy")(),
            Processors(),
            prompt,
            draft_len=draft_len,
            tree_budget=budget,
            max_new_tokens=count,
            seed=0,
            shared=shared,
        )
        speculator.begin()
        stopping, new, ended, rounds = StoppingCriteria(target, count), list[int](), "", 0
        while not ended:
            tokens = speculator.round(count - len(new)).tokens
            kept, ended = stopping.cut(new, tokens)
            new += tokens[:kept]
            rounds += 1
        return len(new), rounds

    return decode


def _theirs(model: PreTrainedModel, count: int, **how: object) -> Method:
    calls = [0]
    model.register_forward_pre_hook(lambda *_: calls.__setitem__(0, calls[0] + 1))

    def decode(prompt: list[int]) -> tuple[int, int]:
        calls[0] = 0
        ids = torch.tensor([prompt], device=model.device)
        found = model.generate(ids, max_new_tokens=count, do_sample=False, **how)
        return found.shape[1] - len(prompt), calls[0]

    return decode


@dataclass(frozen=True)
class Row:
    """One method over all prompts."""

    pace: list[float]
    """Tokens per second of each prompt."""
    ratio: list[float]
    """Times plain decoding's."""
    tokens: int
    calls: int
    seconds: float


def rows_of(methods: dict[str, Method], prompts: Sequence[list[int]]) -> dict[str, Row]:
    """Continue every prompt by every method in turn; ratios are to the first of them."""
    for decode in methods.values():
        decode(prompts[0])  # shapes that libraries have not met
    took = {name: np.zeros(len(prompts)) for name in methods}
    said = {name: np.zeros((len(prompts), 2)) for name in methods}
    names = list(methods)
    for turn, prompt in enumerate(prompts):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.perf_counter()
            said[name][turn] = methods[name](prompt)
            took[name][turn] = time.perf_counter() - start
    pace = {name: said[name][:, 0] / took[name] for name in names}
    return {
        name: Row(
            pace=pace[name].tolist(),
            ratio=(pace[name] / pace[names[0]]).tolist(),
            tokens=int(said[name][:, 0].sum()),
            calls=int(said[name][:, 1].sum()),
            seconds=float(took[name].sum()),
        )
        for name in names
    }


def _print_rows(title: str, rows: dict[str, Row]) -> None:
    print(f"\n{title:32} {'x plain':>8} {'p20':>6} {'p80':>6} {'tokens/s':>9} {'per call':>9}")
    for name, row in rows.items():
        low, middle, high = np.quantile(row.ratio, [0.2, 0.5, 0.8])
        print(
            f"{name:32} {middle:8.2f} {low:6.2f} {high:6.2f} {row.tokens / row.seconds:9.1f} "
            f"{row.tokens / row.calls:9.2f}"
        )


if __name__ == "__main__":
    main()

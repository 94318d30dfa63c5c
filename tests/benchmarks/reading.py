"""What verifying a tree costs: ``python -m tests.benchmarks.reading`` prints tables of ratios.

A read of n guesses after a text by ``TreeReader`` beside transformers' forward pass of n tokens
with its own cache and sdpa, which knows no trees; and one layer's attention beside sdpa given a
dense mask. The bundled target is read, or a random model of another shape.
"""

import argparse
import os

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel
from transformers.utils import logging

from tests.benchmarks.models import SHAPES, build
from tests.benchmarks.timing import Job, Measured, side_by_side
from tokenarium.backend.environment import commit, device_name, versions
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.settings import PROJECT
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.kernels.tree_attention import Ancestry, tree_attention

BUNDLED = PROJECT / "assets/models/target"


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.reading", description=__doc__
    )
    options.add_argument("--shape", default="bundled", choices=["bundled", *SHAPES])
    options.add_argument("--dtypes", nargs="*", default=["float32", "bfloat16"])
    options.add_argument("--text", type=int, default=512, help="tokens before the tree")
    options.add_argument("--nodes", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32, 64])
    options.add_argument("--repeats", type=int, default=20)
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = options.parse_args()
    logging.disable_progress_bar()
    libraries = ", ".join(f"{name} {version}" for name, version in versions().items())
    print(f"commit {commit()}; {asked.shape} after {asked.text} tokens, {libraries}")
    print(f"on {device_name(asked.device)}, {torch.get_num_threads()} threads; ", end="")
    print(f"{asked.repeats} rounds, interleaved; load average {os.getloadavg()[0]:.1f}")
    for dtype in asked.dtypes:
        loaded, twin = _models(asked.shape, dtype, asked.device)
        reads = read_jobs(loaded, twin, asked.text, asked.nodes)
        _print_rows(f"one read, {dtype}", side_by_side(reads, asked.repeats))
        for nodes in asked.nodes:
            layer = layer_jobs(loaded, asked.text, nodes)
            _print_rows(f"one layer, {nodes} nodes, {dtype}", side_by_side(layer, asked.repeats))


def _models(shape: str, dtype: str, device: str) -> tuple[LoadedModel, PreTrainedModel]:
    if shape != "bundled":
        models = build(shape, dtype, device)
        return models.loaded, models.twins["sdpa"]
    loaded = load(ModelSource(shape, BUNDLED, None, shape), dtype, device, 1024)
    twin = AutoModelForCausalLM.from_pretrained(
        BUNDLED, attn_implementation="sdpa", dtype=getattr(torch, dtype)
    )
    return loaded, twin.to(device).eval()


def _binary_tree(nodes: int) -> list[int]:
    return [-1, *((node - 1) // 2 for node in range(1, nodes))]


def read_jobs(
    loaded: LoadedModel, twin: PreTrainedModel, text: int, sizes: list[int]
) -> dict[str, Job]:
    """Jobs for every size; the first is transformers' single token."""
    ids = torch.arange(text + max(sizes), device=loaded.device) * 7919 % twin.config.vocab_size
    reader = TreeReader(loaded, text + max(sizes))
    reader.extend(ids[:text].tolist())
    cache = DynamicCache(config=twin.config)
    with torch.inference_mode():
        twin(input_ids=ids[None, :text], past_key_values=cache)
    guesses = ids[text:].tolist()

    def plain(nodes: int) -> Job:
        @torch.inference_mode()
        def job() -> None:
            twin(input_ids=ids[None, text : text + nodes], past_key_values=cache)
            cache.crop(-nodes)

        return job

    def tree(nodes: int) -> Job:
        def job() -> None:
            reader.read(guesses[:nodes], _binary_tree(nodes))
            reader.keep([])

        return job

    jobs = {}
    for nodes in sizes:
        jobs[f"transformers, {nodes} tokens"] = plain(nodes)
        jobs[f"ours, tree of {nodes}"] = tree(nodes)
    return jobs


def layer_jobs(loaded: LoadedModel, text: int, nodes: int) -> dict[str, Job]:
    """Jobs for the attention of one layer over a tree."""
    config = loaded.model.config.get_text_config()
    heads, groups, size = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    options = {"dtype": loaded.dtype, "device": loaded.device}
    q = torch.randn(heads, nodes, size, **options)
    keys, values = (torch.randn(groups, text + nodes, size, **options) for _ in range(2))
    tree = Ancestry(_binary_tree(nodes))
    mask = tree.bias(nodes, text, None, 1, loaded.dtype, loaded.device)[1]

    def dense() -> None:
        given = q[None], keys[None], values[None]
        F.scaled_dot_product_attention(*given, attn_mask=mask, enable_gqa=heads != groups)

    return {
        "sdpa, dense mask": dense,
        "tree_attention": lambda: tree_attention(q, keys, values, tree, scaling=size**-0.5),
    }


def _print_rows(title: str, rows: dict[str, Measured]) -> None:
    print(
        f"\n{title:28} {'ratio p20':>9} {'p50':>6} {'p80':>6} {'ms p20':>9} {'p50':>9} {'p80':>9}"
    )
    for name, row in rows.items():
        ratio = f"{row.ratio.p20:9.2f} {row.ratio.p50:6.2f} {row.ratio.p80:6.2f}"
        times = f"{row.ms.p20:9.2f} {row.ms.p50:9.2f} {row.ms.p80:9.2f}"
        print(f"{name:28} {ratio} {times}", flush=True)


if __name__ == "__main__":
    main()

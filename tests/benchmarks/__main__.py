"""What watching a model costs: ``python -m tests.benchmarks`` prints a table of ratios."""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel
from transformers.utils import logging

from backend.environment import commit, device_name, versions
from backend.events import CancelToken
from backend.instruments import recording
from backend.models.loaded import LoadedModel
from backend.models.loading import load
from backend.models.names import ModelSource
from backend.models.text import Tokens, tokenise
from backend.settings import PROJECT
from backend.trace.attention import AttentionTrace
from backend.trace.draft import Draft
from backend.trace.request import TraceRequest
from backend.trace.runner import trace
from tests.benchmarks.timing import Measured, side_by_side
from tests.models.conftest import byte_tokenizer

SHAPE = {
    "vocab_size": 6144,
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 8,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "max_position_embeddings": 8192,
}
"""The shape of the bundled target, for a checkout without it."""


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    options.add_argument("--lengths", type=int, nargs="+", default=[512, 2048])
    options.add_argument("--trace-lengths", type=int, nargs="+", default=[64, 512, 1024])
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    asked = options.parse_args()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        source = _bundled() or _random(Path(folder))
        loaded = load(source, asked.dtype, asked.device, max(asked.lengths))
        twins = {name: _twin(loaded, source, name) for name in ("sdpa", "eager")}
        _print_heading(asked, source)
        for length in asked.lengths:
            jobs = _forward_jobs(loaded, twins, length)
            _print_rows(f"forward, {length} tokens", side_by_side(jobs, asked.repeats))
        for length in asked.trace_lengths:
            jobs = _trace_jobs(loaded, twins["sdpa"], length)
            _print_rows(f"trace, {length} tokens", side_by_side(jobs, asked.repeats))


def _bundled() -> ModelSource | None:
    folder = PROJECT / "assets/models/target"
    if not (folder / "config.json").exists():
        return None
    return ModelSource("bundled/target", folder, None, "target")


def _random(folder: Path) -> ModelSource:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(LlamaConfig(**SHAPE)).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return ModelSource("random Llama", folder, None, "random")


def _twin(loaded: LoadedModel, source: ModelSource, attention: str) -> PreTrainedModel:
    assert source.folder is not None
    twin = AutoModelForCausalLM.from_pretrained(
        source.folder, attn_implementation=attention, dtype=loaded.dtype
    )
    return twin.to(loaded.device).eval()


def _request(loaded: LoadedModel, length: int, **values: bool) -> tuple[TraceRequest, Tokens]:
    """A text of exactly ``length`` tokens."""
    words = "Once upon a time there was a little dog who liked to run in the big green park. "
    request = TraceRequest(
        model=loaded.name, text=words * (length // 8 + 1), overflow="keep_start", **values
    )
    return request, tokenise(loaded, request, length)


def _forward_jobs(
    loaded: LoadedModel, twins: dict[str, PreTrainedModel], length: int
) -> dict[str, Callable[[], object]]:
    request, tokens = _request(loaded, length)
    ids = torch.tensor([tokens.ids], device=loaded.device)

    @torch.inference_mode()
    def read(model: PreTrainedModel, **values: bool) -> object:
        return model.base_model(input_ids=ids, use_cache=False, **values)

    def watched() -> object:
        draft = Draft(request, tokens, len(loaded.layers), request.top_k, loaded.context)
        with recording(AttentionTrace(draft, request.tiles, request.forgetting)):
            return read(loaded.model)

    return {
        "sdpa": lambda: read(twins["sdpa"]),
        "instrumented, nothing recorded": lambda: read(loaded.model),
        "instrumented, every statistic": watched,
        "eager, returning attentions": lambda: read(twins["eager"], output_attentions=True),
    }


def _trace_jobs(
    loaded: LoadedModel, sdpa: PreTrainedModel, length: int
) -> dict[str, Callable[[], object]]:
    ids = torch.tensor([_request(loaded, length)[1].ids], device=loaded.device)

    @torch.inference_mode()
    def read() -> object:
        return sdpa(input_ids=ids, use_cache=False)

    def traced(lens: bool) -> object:
        request = _request(loaded, length, logit_lens=lens)[0]
        return trace(request, loaded, length, lambda _: None, CancelToken())

    return {
        "sdpa with logits": read,
        "trace without the logit lens": lambda: traced(False),
        "trace": lambda: traced(True),
    }


def _print_heading(asked: argparse.Namespace, source: ModelSource) -> None:
    print(f"commit {commit()}; {source.name}, {asked.dtype}, on {device_name(asked.device)}")
    libraries = ", ".join(f"{name} {version}" for name, version in versions().items())
    print(f"{torch.get_num_threads()} threads; {libraries}; {asked.repeats} repeats, interleaved")


def _print_rows(title: str, rows: dict[str, Measured]) -> None:
    base = next(iter(rows.values())).p50_ms
    print(f"\n{title:34} {'ratio':>6} {'p20 ms':>9} {'p50 ms':>9} {'p80 ms':>9} {'peak MiB':>9}")
    for name, row in rows.items():
        peak = "-" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:.0f}"
        times = f"{row.p20_ms:9.1f} {row.p50_ms:9.1f} {row.p80_ms:9.1f}"
        print(f"{name:34} {row.p50_ms / base:6.2f} {times} {peak:>9}")


if __name__ == "__main__":
    main()

"""What watching a model costs: ``python -m tests.benchmarks`` prints tables of ratios."""

import argparse
import os

import torch
from transformers.utils import logging

from tests.benchmarks.forward import forward_jobs
from tests.benchmarks.models import SHAPES, build
from tests.benchmarks.outputs import output_jobs
from tests.benchmarks.peak import peak_bytes
from tests.benchmarks.timing import Measured, side_by_side
from tokenarium.backend.environment import commit, device_name, versions


def main() -> None:
    """Print the tables."""
    has_gpu = torch.cuda.is_available()
    options = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    options.add_argument("--shape", default="llama-19m", choices=SHAPES)
    options.add_argument("--lengths", type=int, nargs="*", default=[512, 2048, 8192, 16384])
    options.add_argument("--output-lengths", type=int, nargs="*", default=[2048, 8192])
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--device", default="cuda" if has_gpu else "cpu")
    options.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    options.add_argument("--no-memory", action="store_true", help="skip the peaks")
    asked = options.parse_args()
    logging.disable_progress_bar()
    _print_heading(asked)
    models = build(asked.shape, asked.dtype, asked.device)
    for length in asked.lengths:
        jobs, left_out = forward_jobs(models, length)
        rows = side_by_side(jobs, asked.repeats)
        peaks = {} if asked.no_memory else {name: _peak(asked, length, name) for name in jobs}
        _print_rows(f"forward, {length} tokens", rows, peaks)
        for reason in left_out:
            print(f"not run: {reason}")
    for length in asked.output_lengths:
        jobs = output_jobs(asked.shape, length, asked.dtype, asked.device)
        _print_rows(f"one layer, {length} tokens", side_by_side(jobs, asked.repeats), {})


def _peak(asked: argparse.Namespace, length: int, job: str) -> int | None:
    return peak_bytes(asked.shape, asked.dtype, asked.device, length, job)


def _print_heading(asked: argparse.Namespace) -> None:
    print(f"commit {commit()}; {asked.shape}, {asked.dtype}, on {device_name(asked.device)}")
    libraries = ", ".join(f"{name} {version}" for name, version in versions().items())
    print(f"{torch.get_num_threads()} threads; {libraries}; {asked.repeats} rounds, interleaved")
    print(f"load average at the start: {os.getloadavg()[0]:.1f}")


def _print_rows(title: str, rows: dict[str, Measured], peaks: dict[str, int | None]) -> None:
    ratios = f"{'ratio p20':>9} {'p50':>6} {'p80':>6}"
    print(f"\n{title:28} {ratios} {'ms p20':>9} {'p50':>9} {'p80':>9} {'peak MiB':>9}")
    for name, row in rows.items():
        peak = peaks.get(name)
        held = "-" if peak is None else f"{peak / 2**20:.0f}"
        ratio = f"{row.ratio.p20:9.2f} {row.ratio.p50:6.2f} {row.ratio.p80:6.2f}"
        times = f"{row.ms.p20:9.1f} {row.ms.p50:9.1f} {row.ms.p80:9.1f}"
        print(f"{name:28} {ratio} {times} {held:>9}", flush=True)


if __name__ == "__main__":
    main()

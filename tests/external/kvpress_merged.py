"""Runs in another environment, with kvpress: prints what its CaM makes of given values.

Usage: python kvpress_merged.py CASES.json
"""

import json
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import torch
from kvpress import CAMPress
from kvpress.presses.scorer_press import ScorerPress


@dataclass
class Given(ScorerPress):
    """Scores that are written down."""

    scores: list[float] = field(default_factory=list)

    def score(self, *_: object) -> torch.Tensor:
        """Return them as [1, 1, S]."""
        return torch.tensor(self.scores)[None, None]


def merged(case: dict) -> list[list[float]]:
    """Return the values [n, D] that are kept of one head."""
    press = CAMPress(
        base_press=Given(scores=case["scores"]),
        target_size=case["budget"],
        merge_budget=case["merged"],
    )
    values, mass = torch.tensor(case["values"])[None, None], torch.tensor(case["mass"])[None, None]
    press.layer_step_counts[0] = values.shape[2] - case["budget"]  # all that is dropped is new
    press._running_attn_sum[0] = mass
    module = SimpleNamespace(layer_idx=0, head_dim=values.shape[3])
    return press.compress(module, None, values.clone(), values.clone(), mass, {})[1][0, 0].tolist()


cases = json.loads(Path(sys.argv[1]).read_text())
sys.stdout.write(json.dumps({"version": version("kvpress"), "values": list(map(merged, cases))}))

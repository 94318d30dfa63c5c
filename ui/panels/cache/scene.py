"""What panels of the Cache page are handed: a run under policies."""

from tokenarium.backend import CacheRequest, CacheResult, PolicyRun, Protected, SweepRequest
from tokenarium.backend import protected as protected_by
from tokenarium.ui.shell.panel import Scene

CacheScene = Scene[CacheResult, CacheRequest]
"""The request of a point of a sweep stands for one of its own: it has the policies too."""
PoliciesRequest = CacheRequest | SweepRequest


def shown_run(scene: CacheScene) -> PolicyRun:
    """Return the run of the chosen policy, the last one where none is chosen."""
    runs = scene.result.runs
    return next((run for run in runs if run.policy == scene.chosen.policy), runs[-1])


def protected(scene: CacheScene, run: PolicyRun) -> Protected:
    """Return what a policy of the run never drops in the chosen layer."""
    result, policy = run.result, scene.request.policies[run.number].policy
    layers = result.evicted_at.shape[1]
    layer, prompt = scene.chosen.layer, len(result.prompt_ids)
    return protected_by(policy, result.budget_tokens, layers, layer, prompt)

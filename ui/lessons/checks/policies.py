"""The chosen policy, or the step under it, has a property."""

from collections.abc import Callable

import numpy as np

from tokenarium.backend import PolicyRun, UserError
from tokenarium.ui.lessons.checks import check
from tokenarium.ui.lessons.seen import Seen, Verdict


def _kl(run: PolicyRun) -> float:
    return float(np.nanmean(run.kl_nats)) if len(run.kl_nats) else float("nan")


def _lost(run: PolicyRun) -> float:
    return float(np.nanmean(run.result.lost_mass[run.number]))


def _bytes(run: PolicyRun) -> float:
    return float(run.cache_bytes[-1]) if len(run.cache_bytes) else float("nan")


MEASURES: dict[str, tuple[Callable[[PolicyRun], float], Callable[[float], str], str]] = {
    "kl": (_kl, "changes the predictions by {:.3f} nats".format, "changes them"),
    "lost": (_lost, "loses {:.0%} of the attention".format, "loses"),
    "bytes": (_bytes, lambda held: f"holds {held / 2**20:.2f} MiB at the end", "holds"),
}
"""By name: the number of a policy, the sentence on it, and its verb."""


@check
def policy_is(seen: Seen, metric: str, which: str) -> Verdict:
    """Say whether the chosen policy has the most or the least of a measure, the full cache apart.

    Args:
        seen: what is in sight.
        metric: kl, lost or bytes.
        which: most or least.
    """
    measure, words, verb = MEASURES[metric]
    run = seen.policy
    if run.label == "nothing":
        return Verdict(False, f"{_title(run)} drops nothing; choose one of the other policies.")
    values = [measure(each) for each in run.result.runs if each.label != "nothing"]
    best = max(values) if which == "most" else min(values)
    said = f"{_title(run)} {words(measure(run))}"
    if measure(run) == best:
        return Verdict(True, f"{said}, the {which} of the {len(values)} here.")
    return Verdict(False, f"{said}; look for the policy that {verb} {which}.")


@check
def policy_is_shown(seen: Seen, policy: str) -> Verdict:
    """Say whether a policy is the chosen one."""
    run, result = seen.policy, seen.cache
    if run.policy == policy:
        return Verdict(True, "")
    known = dict(zip(result.policies, result.titles, strict=True))
    return Verdict(False, f"The map shows {_title(run)}; choose {known.get(policy, policy)}.")


@check
def step_moved(seen: Seen, value: float) -> Verdict:
    """Say whether the prediction at the chosen step is at least ``value`` nats from the full one's.

    It is that of the chosen policy.
    """
    run, step = seen.policy, seen.chosen.step
    known = run.kl_nats
    found = float(known[step]) if step < len(known) else float("nan")
    said = f"At step {step}, {_title(run)} changes the prediction by {found:.3f} nats"
    if found >= value:
        return Verdict(True, f"{said}.")
    return Verdict(False, f"{said}; look for a step with {value:g} or more.")


@check
def token_kept(seen: Seen, token: float, kept: float) -> Verdict:
    """Say whether the chosen head holds a token, or has dropped it, after the chosen step.

    Args:
        seen: what is in sight.
        token: its place in the prompt.
        kept: 1 where it shall be held, 0 where it shall be gone.
    """
    run, place = seen.policy, seen.chosen
    there = int(token) in run.kept(place.step, place.layer, place.head)
    where = f"layer {place.layer}, KV head {place.head}"
    verb = "holds" if there else "has dropped"
    said = f"Under {_title(run)}, {where} {verb} {seen.token(int(token))} at step {place.step}"
    if there == bool(kept):
        return Verdict(True, f"{said}.")
    return Verdict(False, f"{said}; look for one that {'holds' if kept else 'has dropped'} it.")


@check
def policy_holds(seen: Seen, policy: str, token: float) -> Verdict:
    """Say whether a policy is chosen, and holds a token in every head after the chosen step.

    Args:
        seen: what is in sight.
        policy: its slug.
        token: place in the prompt.
    """
    run, step, result = seen.policy, seen.chosen.step, seen.cache
    shown = policy_is_shown(seen, policy)
    if not shown.passed:
        return shown
    gone = result.evicted_at[run.number, :, :, int(token)]
    held = int(((gone < 0) | (gone > step)).sum())
    said = f"At step {step}, {_title(run)} holds {seen.token(int(token))} in {held} of {gone.size}"
    if held == gone.size:
        return Verdict(True, f"{said} heads.")
    return Verdict(False, f"{said} heads; look for a step where all hold it.")


@check
def closer_than(seen: Seen, policy: str) -> Verdict:
    """Say whether the chosen policy changes the predictions less than another one."""
    result = seen.cache
    other = dict(zip(result.policies, result.runs, strict=True)).get(policy)
    if other is None:
        raise UserError(f"{policy} is not among the policies of this run: press Start again")
    mine, its = _kl(seen.policy), _kl(other)
    said = (
        f"{_title(seen.policy)} changes the predictions by {mine:.3f} nats, {_title(other)} by "
        f"{its:.3f}"
    )
    if mine < its:
        return Verdict(True, f"{said}{f': {its / mine:.0f} times as much' if mine > 0 else ''}.")
    return Verdict(False, f"{said}; look for one that changes them less.")


def _title(run: PolicyRun) -> str:
    return run.result.titles[run.number]

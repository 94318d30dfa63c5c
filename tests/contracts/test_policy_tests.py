"""Every policy has a test of its own, which fails when the policy keeps the opposite."""

from collections.abc import Callable
from importlib import import_module, util
from typing import Any

import pytest

from tests.trace.conftest import twins
from tokenarium.backend.cache import topk
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.storage_form import StorageForm

__all__ = ["twins"]

POLICIES = [
    kind for kind in Policy.registry.all() if kind.__module__.startswith("tokenarium.backend.")
]


def own_check(policy: type[Policy]) -> Callable[[Any], None]:
    """Return what tests the kept sets of a policy against an independent computation."""
    name = f"tests.cache.policies.test_{policy.__module__.rpartition('.')[2]}"
    if util.find_spec(name) is None:
        pytest.fail(f"{policy.slug} has no test: write {name} with check_kept_sets(twins)")
    check: Callable[[Any], None] | None = getattr(import_module(name), "check_kept_sets", None)
    if check is None:
        pytest.fail(f"{name} has no check_kept_sets(twins): write what {policy.slug} must keep")
    return check


def turn_round(policy: type[Policy], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the policy keep what it would drop: every score counts with the other sign."""
    if hasattr(policy, "scores_of_tokens"):  # of two layers, or of states
        plain_tokens = policy.scores_of_tokens
        turned_tokens = lambda self, *rows: -plain_tokens(self, *rows)  # noqa: E731
        monkeypatch.setattr(policy, "scores_of_tokens", turned_tokens)
    elif issubclass(policy, StorageForm):
        plain_channels = policy.scores_of_channels
        turned_channels = lambda self, view: -plain_channels(self, view)  # noqa: E731
        monkeypatch.setattr(policy, "scores_of_channels", turned_channels)
    elif hasattr(policy, "scores_of_heads"):
        plain_heads = policy.scores_of_heads
        turned_heads = lambda self, of: -plain_heads(self, of)  # noqa: E731
        monkeypatch.setattr(policy, "scores_of_heads", turned_heads)
    elif hasattr(policy, "scores_at"):  # of what a search or a cluster looks at
        plain_at = policy.scores_at
        turned_at = lambda self, view, at: -plain_at(self, view, at)  # noqa: E731
        monkeypatch.setattr(policy, "scores_at", turned_at)
    elif policy.scores is not Policy.scores:
        plain = policy.scores
        monkeypatch.setattr(policy, "scores", lambda self, view: -plain(self, view))
    else:
        chosen = topk.highest
        turned: Callable[..., Any] = lambda scores, *rest: chosen(-scores, *rest)  # noqa: E731
        monkeypatch.setattr(topk, "highest", turned)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.slug)
def test_its_own_test_passes_and_fails_when_scores_are_turned_round(
    twins: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, policy: type[Policy]
) -> None:
    check = own_check(policy)
    check(twins)
    if policy.label in ("nothing", "quantise"):
        return  # it chooses nothing
    turn_round(policy, monkeypatch)
    with pytest.raises(AssertionError):
        check(twins)


def test_a_policy_without_its_own_test_fails() -> None:
    class Untested:
        slug = "untested"
        __module__ = "tokenarium.backend.cache.policies.untested"

    with pytest.raises(pytest.fail.Exception, match="untested has no test: write tests"):
        own_check(Untested)  # type: ignore[arg-type]

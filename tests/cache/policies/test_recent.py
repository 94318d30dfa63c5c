"""A plain window."""

from tests.cache.policies.twin import PROMPT, check_same, kept_live
from tokenarium.backend.cache.policies.recent import Recent


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, _ = twins("llama")
    expected = ([[[*range(end - 9, end)]] * 2] * 3 for end in range(PROMPT, PROMPT + 4))
    check_same(kept_live(loaded, Recent(), 9), expected)


def test_recent_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)

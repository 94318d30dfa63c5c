"""H2O against full matrices."""

from tests.cache.policies.twin import Twin, check_same, kept_live, mean_of_group
from tokenarium.backend.cache.policies.h2o import H2O
from tokenarium.backend.cache.terms import Protected


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    twin = Twin(model, 8, lambda _, weights, seen: mean_of_group(weights.sum(1), 2), newest=2)
    check_same(kept_live(loaded, H2O(recent_share=0.25), 8), twin.run(), steps=8)


def test_h2o_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)


def test_half_of_the_budget_is_for_the_newest() -> None:
    assert H2O().protects(16, 0, 300) == Protected(newest=8)

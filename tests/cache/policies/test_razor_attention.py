"""RazorAttention's kept sets; its compensation is tested beside the other policies of roles."""

from tests.cache.policies.conftest import Pair, kept
from tests.cache.policies.test_head_roles import BUDGET, LENGTH, ends, paid, probed, whole


def ranks(scores):
    order = sorted(
        ((layer, g) for layer in range(3) for g in range(2)), key=lambda at: (-scores[at], at)
    )
    return {at: place for place, at in enumerate(order, 1)}


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    pair = Pair(*twins("llama"))
    echo, induction = map(ranks, probed(pair.loaded))
    reached = {at: -min(echo[at], induction[at] / 14) for at in echo}
    own = whole(reached, 12)
    assert 0 < len(own) < 6
    found = kept(pair.under("razor_attention", BUDGET, pair.prompt(LENGTH)))
    others = sorted({4, *ends(4, paid(own, 12) - 1)})
    assert found == [
        [list(range(LENGTH)) if (layer, g) in own else others for g in range(2)]
        for layer in range(3)
    ]


def test_razor_attention_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)

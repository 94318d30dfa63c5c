"""The store of earlier texts: what is drafted from it, whose texts they are, and the run's key."""

from collections.abc import Callable

import pytest

from tests.runs.conftest import make_lab, models_dir, no_shipped_examples, shelf, watch
from tests.speculation.test_text_drafters import begun
from tokenarium.backend import DrafterSpec, Lab, SpeculateRequest, earlier_tokens
from tokenarium.backend.speculation.drafters.ngram_store import NgramStore
from tokenarium.backend.speculation.drafters.trie_lookahead import TrieLookahead
from tokenarium.ui.components.speculate_form import with_earlier

__all__ = ["make_lab", "models_dir", "no_shipped_examples", "shelf", "watch"]


def test_what_an_earlier_text_said_after_the_ending_is_drafted() -> None:
    stored, new = (7, 8, 9, 10, 11), [1, 2, 7, 8]
    assert len(begun(TrieLookahead(), new).memory) > 0
    one = NgramStore(tokens=stored)
    assert one.propose(begun(one, new)).tokens == [8, 9, 10, 11, 1]
    alone = NgramStore()
    assert len(alone.propose(begun(alone, new))) == 1
    own = [7, 8, 9, 1, 7, 8]
    both = alone.propose(begun(alone, own)), TrieLookahead().propose(begun(TrieLookahead(), own))
    assert both[0].tokens == both[1].tokens
    foreign = NgramStore(tokens=(9_999, 7, 8, 9))
    assert foreign.propose(begun(foreign, new)).tokens[:2] == [8, 9]


def test_the_key_of_a_run_holds_what_was_in_the_store() -> None:
    def key(*tokens: int) -> str:
        drafter = DrafterSpec("ngram_store", tokens=list(tokens))
        return SpeculateRequest(model="tiny", text="A", drafter=drafter).key()

    assert key(1, 2, 3) == key(1, 2, 3)
    assert len({key(), key(1, 2, 3), key(1, 2, 4)}) == 3
    with pytest.raises(ValueError, match="tokens"):
        DrafterSpec("ngram_store", tokens=[-1])


def test_in_hosted_mode_the_store_holds_the_visitors_own_texts_alone(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(hosted=True, models=("local/tiny",), max_new_tokens=64)

    def ran(visitor: str, text: str) -> tuple[int, ...]:
        request = lab.request(
            SpeculateRequest, model="local/tiny", text=text, drafter="prompt_lookup",
            max_new_tokens=4, plain=False,
        )  # fmt: skip
        result = lab.run(request, visitor=visitor).result
        return (*result.prompt_ids.tolist(), *result.token_ids.tolist())

    mine, theirs = ran("a" * 32, "my own words"), ran("b" * 32, "another's secret")
    assert earlier_tokens(lab, "local/tiny", visitor="a" * 32) == mine
    assert earlier_tokens(lab, "local/tiny", visitor="b" * 32) == theirs
    assert earlier_tokens(lab, "local/tiny", visitor="c" * 32) == ()
    assert earlier_tokens(lab, "local/tiny", visitor="a" * 32, most=3) == ()
    request = lab.request(
        SpeculateRequest, model="local/tiny", text="more", drafter=DrafterSpec("ngram_store")
    )
    filled = with_earlier(lab, request, "a" * 32)
    assert filled.drafter.drafter.tokens == mine
    assert filled.key() != request.key()
    assert with_earlier(lab, filled, "b" * 32) == filled

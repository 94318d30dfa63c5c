"""What a visitor of a public page may compute without a run: for so long, and so many at once."""

import pytest

from tests.tokenization.toys import BUNDLED, SETTINGS, bpe
from tokenarium.backend import Cancelled, CancelToken, Lab, Settings, UserError
from tokenarium.backend.runs.events import cancelled_by
from tokenarium.backend.tokenization.allowance import AT_ONCE, Allowance
from tokenarium.backend.tokenization.training import Kind, train

SAMPLES = {"one": "the old king. the sea. " * 9, "two": "der alte Mann. das Meer. " * 9}
TEXTS = {"en": "the old king saw it. " * 150, "de": "der alte Mann sah es. " * 150}


def test_long_computations_of_visitors_end_in_words() -> None:
    settings = Settings(
        database="duckdb:///:memory:", device="cpu", hosted=True, hosted_max_seconds=1e-9
    )
    with Lab(settings) as lab:
        for _ in range(AT_ONCE + 1):  # a turn that has failed is given back
            with pytest.raises(UserError, match="1e-09 s allowed here: take fewer merges"):
                lab.tokenizers.mixture(BUNDLED, SAMPLES, 20)
            with pytest.raises(UserError, match="allowed here: give shorter texts"):
                lab.tokenizers.trained_curves(TEXTS, size=280)


def test_a_training_that_takes_long_ends_in_words() -> None:
    settings = Settings(
        database="duckdb:///:memory:", device="cpu", hosted=True, hosted_max_seconds=1e-9
    )
    with (
        Lab(settings) as lab,
        pytest.raises(UserError, match=r"1e-09 s of a processor allowed here"),
    ):
        lab.tokenizers.train("ab" * 40_000, "bpe", 32_000, words=False)


class Late(CancelToken):
    """Cancelled while the computation goes on: at a look of that number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.looks, self._number = 0, number

    def check(self) -> None:
        self.looks += 1
        if self.looks == self._number:
            self.cancel()
        super().check()


def test_cancel_is_heard_in_the_middle_of_every_long_computation() -> None:
    lines = "".join(f"the old king saw {n} of the seas\n" for n in range(200))
    texts = {"law": lines, "talk": lines[::-1]}
    with Lab(SETTINGS) as lab:
        kept, text = lab.tokenizers, lines[:2_000]
        name = kept.train(lines, "bpe", 300).name
        for compute, looks in (
            (lambda: kept.train(text, "lib", 320), 9),
            (lambda: kept.train(text, "lib", 320, words=False), 9),
            (lambda: kept.train(lines[:6_000].replace("\n", "."), "lib", 320, words=False), 25),
            (lambda: kept.cut_off_curves(name), 100),
            (lambda: kept.domain(texts, 280), 20),
            (lambda: kept.extend(BUNDLED, text, 20), 28),
        ):
            late = Late(looks)
            with cancelled_by(late), pytest.raises(Cancelled):
                compute()
            assert late.looks == looks
    once = CancelToken()
    once.cancel()
    with cancelled_by(once), pytest.raises(Cancelled):
        _ = bpe([("a", "b")], "abĠ").merges
    with Lab(SETTINGS) as lab, cancelled_by(once):
        with pytest.raises(Cancelled):
            lab.tokenizers.mixture(BUNDLED, SAMPLES, 20)
        with pytest.raises(Cancelled):
            lab.tokenizers.trained_curves(TEXTS, size=280)
        with pytest.raises(Cancelled):
            lab.tokenizers.train("the old king " * 9, "bpe", 280)


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece"])
def test_a_process_trains_what_is_trained_here(kind: Kind) -> None:
    """The library walks over words in an order of its own in each process."""
    text = "the old king saw eine Übergröße of naïve cats; the queen saw 12 ships.\n" * 9
    made = [train(text, kind, 330, words=True, name="x", title="x", seconds=s)
            for s in (None, None, 20.0)]  # fmt: skip
    assert len({each.digest for each in made}) == 1
    assert made[0].entries == made[2].entries
    assert made[0].merge_list or kind != "bpe"


def test_more_than_so_many_at_once_are_refused() -> None:
    allowance = Allowance(60)
    with allowance.turn("wait") as check, allowance.turn("wait"):
        check()
        with (
            pytest.raises(ValueError, match="2 computations of this kind are going on here"),
            allowance.turn("wait"),
        ):
            pass
    with allowance.turn("wait") as check:
        check()


def test_nothing_is_limited_on_a_machine_of_ones_own() -> None:
    allowance = Allowance(None)
    with allowance.turn("a") as check, allowance.turn("b"), allowance.turn("c"):
        check()

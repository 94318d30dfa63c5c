"""The auditor passes what is right and fails what is wrong; statistics against published tables."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from tokenarium.backend.speculation.auditing.audit import Audit, Check
from tokenarium.backend.speculation.auditing.counts import check_counts
from tokenarium.backend.speculation.auditing.draft_checks import (
    DraftedChildren,
    check_draft_probs,
    check_drafted_tokens,
    effective_temperature,
    uniform_distance,
)
from tokenarium.backend.speculation.auditing.identity import check_identity
from tokenarium.backend.speculation.auditing.sampling import check_sampling, likely_continuations
from tokenarium.backend.speculation.auditing.significance import (
    chi_square_power,
    chi_square_tail,
    kolmogorov_tail,
    least_found,
)
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.node_schema import NODE, ROUND, STATUSES


def test_audit_verdict_is_the_worst_that_applies() -> None:
    def audit(*verdicts: str) -> str:
        return Audit(tuple(Check(str(at), said, "") for at, said in enumerate(verdicts))).verdict

    assert audit("passed", "not applicable") == "passed"
    assert audit("passed", "numeric tie", "passed") == "numeric tie"
    assert audit("numeric tie", "failed") == "failed"
    assert audit("not applicable") == audit() == "not applicable"


@pytest.mark.parametrize(
    ("statistic", "freedom", "tail"),
    [(3.8415, 1, 0.05), (18.307, 10, 0.05), (10.828, 1, 0.001), (24.322, 7, 0.001)],
)
def test_chi_square_tail_matches_the_tables(statistic: float, freedom: int, tail: float) -> None:
    assert chi_square_tail(statistic, freedom) == pytest.approx(tail, rel=1e-3)


@pytest.mark.parametrize(
    ("shift", "freedom", "power"), [(7.849, 1, 0.8), (12.828, 5, 0.8), (12.995, 1, 0.95)]
)
def test_chi_square_power_matches_the_tables(shift: float, freedom: int, power: float) -> None:
    assert chi_square_power(shift, freedom, 0.05) == pytest.approx(power, abs=2e-3)


def test_chi_square_power_without_a_difference_is_the_significance() -> None:
    assert chi_square_power(0, 7) == pytest.approx(1e-3, rel=1e-6)


def test_kolmogorov_tail_matches_the_tables() -> None:
    assert kolmogorov_tail(0.40925, 10) == pytest.approx(0.05, abs=1e-3)  # exact table, n = 10
    assert kolmogorov_tail(1.6276 / math.sqrt(10**6), 10**6) == pytest.approx(0.01, rel=1e-2)
    assert kolmogorov_tail(0.01, 100) == 1


def test_least_found_is_found_as_often_as_it_says() -> None:
    """A distribution at exactly that distance, hardest to find, is found in about 95 of 100."""
    random, probs, samples = np.random.default_rng(0), np.full(8, 1 / 8), 1000
    distance = least_found(samples, 7)
    other = probs * (1 + 2 * distance * np.array([1, -1] * 4))
    assert np.abs(other - probs).sum() / 2 == pytest.approx(distance)
    counts = random.multinomial(samples, other, size=2000)
    statistics = ((counts - samples * probs) ** 2 / (samples * probs)).sum(1)
    assert (statistics > 24.322).mean() == pytest.approx(0.95, abs=0.02)


def logits_of(*rows: Sequence[float]) -> Tensor:
    return torch.tensor(rows)


def test_identity_passes_equal_tokens_and_reads_no_logits() -> None:
    def never(_: Sequence[int]) -> Tensor:
        raise AssertionError

    check = check_identity([1], [4, 5], [4, 5], never, torch.float32)
    assert check.verdict == "passed"
    assert check_identity([1], [4], [], never, torch.float32).verdict == "not applicable"
    assert check_identity([1], [4, 5], [4], never, torch.float32).verdict == "failed"


@pytest.mark.parametrize(
    ("gap", "dtype", "verdict"),
    [
        (0.0005, torch.float32, "numeric tie"),
        (0.002, torch.float32, "failed"),
        (0.2, torch.bfloat16, "numeric tie"),
        (0.3, torch.bfloat16, "failed"),
        (0.04, torch.float16, "numeric tie"),
        (0.06, torch.float16, "failed"),
    ],
)
def test_identity_tells_ties_from_errors(gap: float, dtype: torch.dtype, verdict: str) -> None:
    asked = []

    def logits(ids: Sequence[int]) -> Tensor:
        asked.append(list(ids))
        return torch.tensor([0.0, 1.0, 1.0 - gap, 0.5])

    check = check_identity([7], [3, 2, 0], [3, 1, 1], logits, dtype)
    assert check.verdict == verdict
    assert asked == [[7, 3]]
    assert check.numbers["first_divergence"] == 1
    assert check.numbers["top2_gap"] == pytest.approx(gap, abs=1e-6)


def test_identity_fails_a_third_choice_beside_two_equal_ones() -> None:
    check = check_identity([7], [3], [1], lambda _: torch.tensor([1.0, 1, 0, 0]), torch.bfloat16)
    assert check.verdict == "failed"


LAW = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05, 0.0])
END = 4


def law_after(ids: Sequence[int]) -> Tensor:
    return LAW.roll(ids[-1] % 2)


def sampler(probs: "Sequence[Tensor]"):
    """Draws the first token from ``probs[0]``, the second from ``probs[1]`` rolled by the first."""

    def sample(seed: int) -> list[int]:
        random = np.random.default_rng([1, seed])
        first = int(random.choice(6, p=probs[0].double().numpy() / probs[0].double().sum().item()))
        if first == END:
            return [first]
        second = probs[1].roll(first % 2).double().numpy()
        return [first, int(random.choice(6, p=second / second.sum())), 0]

    return sample


def test_likely_continuations_are_those_of_enumeration() -> None:
    found = likely_continuations(law_after, [2], 2, 0.01, [END])
    expected = {}
    for first in range(6):
        if first == END:
            expected[first,] = float(LAW[first])
            continue
        for second in range(6):
            chance = float(LAW[first] * LAW.roll(first % 2)[second])
            if chance >= 0.01:
                expected[first, second] = chance
    assert found == pytest.approx(expected)


def test_sampling_passes_the_law_itself() -> None:
    check = check_sampling(sampler([LAW, LAW]), law_after, [2], samples=3000, ends=[END])
    assert check.verdict == "passed"
    assert check.numbers["degrees_of_freedom"] >= 12


def test_sampling_passes_the_law_in_nearly_every_trial() -> None:
    p_values = [
        check_sampling(
            sampler([LAW, LAW]), law_after, [2], samples=200, ends=[END], seed=at * 200
        ).numbers["p_value"]
        for at in range(40)
    ]
    assert kolmogorov_tail(uniform_distance(np.array(p_values)), 40) > 1e-3


def test_sampling_finds_the_distance_that_it_says_it_finds() -> None:
    other = LAW + torch.tensor([-0.06, 0.06, 0, 0, 0, 0])
    check = check_sampling(sampler([other, LAW]), law_after, [2], samples=3000, length=1)
    assert check.numbers["found_total_variation"] < 0.06
    assert check.verdict == "failed"
    later = check_sampling(sampler([LAW, other]), law_after, [2], samples=6000, ends=[END])
    assert later.verdict == "failed"


def test_sampling_fails_what_the_target_never_says() -> None:
    always = LAW.clone()
    always[5] = 0.002
    check = check_sampling(sampler([always, LAW]), law_after, [2], samples=3000, length=1)
    assert check.verdict == "failed"
    assert check.numbers["impossible"] > 0


def test_sampling_has_nothing_to_say_where_there_is_no_choice() -> None:
    only = torch.tensor([0.0, 1.0])
    check = check_sampling(lambda _: [1, 1], lambda _: only, [0], samples=100)
    assert check.verdict == "not applicable"


def places(count: int, temperature: float, reported: float, whole: bool, k: int = 1, seed: int = 0):
    """Tokens drawn at one temperature and reported at another, after texts of one token."""
    random, drawn = np.random.default_rng(seed), []
    for at in range(count):
        raw = raw_logits([at])
        probs = torch.softmax(raw.double() / temperature, -1).numpy()
        tokens = random.choice(len(probs), size=k, replace=False, p=probs / probs.sum())
        said = torch.softmax(raw / reported, -1)
        odds = tuple(said[tokens].tolist())
        drawn.append(DraftedChildren((at,), tuple(tokens.tolist()), odds, said if whole else None))
    return drawn


def raw_logits(ids: Sequence[int]) -> Tensor:
    return torch.randn(12, generator=torch.Generator().manual_seed(ids[-1])) * 2


def at_place(place: DraftedChildren) -> Tensor:
    return raw_logits(place.before)


@pytest.mark.parametrize("whole", [True, False])
def test_law_passes_what_was_asked_and_fails_another_temperature(whole: bool) -> None:
    asked = Processors(temperature=0.5)
    right = check_draft_probs(places(40, 0.5, 0.5, whole), at_place, asked, torch.float32)
    assert right.verdict == "passed"
    squared = check_draft_probs(places(40, 0.25, 0.25, whole), at_place, asked, torch.float32)
    assert squared.verdict == "failed"
    if whole:
        assert squared.numbers["effective_temperature"] == pytest.approx(0.25, rel=1e-5)


def test_effective_temperature_is_that_of_the_law() -> None:
    raw = raw_logits([3])
    for temperature in (0.3, 1.0, 2.5):
        probs = torch.softmax(raw / temperature, -1)
        assert effective_temperature(raw, probs) == pytest.approx(temperature, rel=1e-5)
    cut = Processors(temperature=0.7, top_k=5).soft_probs(raw[None])[0]
    assert effective_temperature(raw, cut) == pytest.approx(0.7, rel=1e-5)
    assert math.isnan(effective_temperature(raw, torch.eye(12)[2]))


def test_law_tells_a_temperature_beside_laws_without_choice() -> None:
    one = DraftedChildren((3,), (2,), (1.0,), torch.eye(12)[2])
    found = [*places(4, 0.25, 0.25, True), one]
    check = check_draft_probs(found, at_place, Processors(temperature=0.5), torch.float32)
    assert check.numbers["effective_temperature"] == pytest.approx(0.25, rel=1e-5)
    alone = check_draft_probs([one], at_place, Processors(temperature=0.5), torch.float32)
    assert "effective_temperature" not in alone.numbers


def test_law_is_not_applicable_where_none_is_reported() -> None:
    unknown = [DraftedChildren((1,), (2,), (math.nan,))]
    check = check_draft_probs(unknown, at_place, Processors(), torch.float32)
    assert check.verdict == "not applicable"


def softmax_law(temperature: float):
    return lambda place: torch.softmax(raw_logits(place.before) / temperature, -1)


@pytest.mark.parametrize("k", [1, 3])
def test_drawn_passes_the_law_they_were_drawn_from(k: int) -> None:
    draw = "without_replacement" if k > 1 else "iid"
    check = check_drafted_tokens(places(400, 0.8, 0.8, False, k), softmax_law(0.8), draw)
    assert check.numbers["tokens"] == 400 * k
    assert check.verdict == "passed"


def test_drawn_passes_the_right_law_in_nearly_every_trial() -> None:
    p_values = [
        check_drafted_tokens(
            places(60, 0.8, 0.8, False, 2, seed), softmax_law(0.8), "without_replacement", seed
        ).numbers["p_value"]
        for seed in range(100)
    ]
    assert kolmogorov_tail(uniform_distance(np.array(p_values)), 100) > 1e-3


def test_drawn_fails_another_temperature_a_fixed_choice_and_forgotten_renormalising() -> None:
    hot = check_drafted_tokens(places(400, 0.5, 1.0, False), softmax_law(1.0), "iid")
    assert hot.verdict == "failed"
    best = [DraftedChildren((at,), (int(raw_logits([at]).argmax()),), (1.0,)) for at in range(400)]
    assert check_drafted_tokens(best, softmax_law(1.0), "iid").verdict == "failed"
    three = places(400, 1.0, 1.0, False, 3)
    assert check_drafted_tokens(three, softmax_law(1.0), "iid").verdict == "failed"


def test_drawn_is_not_applicable_to_fixed_choices_or_few_tokens() -> None:
    few = places(5, 1.0, 1.0, False)
    assert check_drafted_tokens(few, softmax_law(1.0), "iid").verdict == "not applicable"
    many = places(50, 1.0, 1.0, False)
    assert check_drafted_tokens(many, softmax_law(1.0), "deterministic").verdict == "not applicable"


def written(*trees: tuple[list[int], list[str]], new: Sequence[int]):
    """Rounds and nodes from each round's parents and statuses, the last the token that follows."""
    nodes, rounds, path = [], np.zeros(len(trees), ROUND), []
    for number, ((parents, statuses), count) in enumerate(zip(trees, new, strict=True)):
        first = len(nodes)
        for place, (parent, status) in enumerate(zip(parents, statuses, strict=True)):
            row = np.zeros((), NODE)
            row["id"], row["round"], row["token_id"] = len(nodes), number, 100 + len(nodes)
            row["parent"] = first + parent if parent >= 0 else -1
            row["draw_order"] = 0 if 0 < place < len(parents) - 1 else -1
            row["status"] = STATUSES.index(status)
            nodes.append(row)
        kept = [at for at, said in enumerate(statuses) if said in ENDS]
        path += [first + at for at in kept][:count]
        guesses = statuses[1:-1]
        rounds[number]["drafted"] = len(guesses)
        rounds[number]["verified"] = sum(said != "pruned_before_verify" for said in guesses)
        rounds[number]["accepted_len"] = sum(said in ("accepted", "cut") for said in guesses)
        rounds[number]["new_tokens"] = count
    columns = np.array(nodes)
    return rounds, columns, columns["token_id"][path], np.array(path)


ENDS = ("accepted", "bonus", "residual_resample")
PRUNED = ["root", "accepted", "pruned_before_verify", "rejected", "residual_resample"]
RUN = (
    ([-1, 0, 0, 1, 1], PRUNED),
    ([-1, 0, 1, 2], ["root", "accepted", "accepted", "bonus"]),
    ([-1, 0, 1, 2], ["root", "accepted", "cut", "cut"]),
)


def test_counts_of_a_run_agree() -> None:
    check = check_counts(*written(*RUN, new=[2, 3, 1]))
    assert check.verdict == "passed"
    assert check.numbers == {"rounds": 3, "verified": 6, "accepted": 5, "new_tokens": 6}


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("accepted_len", "accepted nodes"),
        ("new_tokens", "the text is"),
        ("verified", "guesses of each round"),
        ("drafted", "guesses of each round"),
    ],
)
def test_counts_find_a_wrong_column(column: str, said: str) -> None:
    rounds, nodes, tokens, path = written(*RUN, new=[2, 3, 1])
    rounds[column][1] += 1
    check = check_counts(rounds, nodes, tokens, path)
    assert check.verdict == "failed"
    assert said in check.evidence


def test_counts_find_another_text() -> None:
    rounds, nodes, tokens, path = written(*RUN, new=[2, 3, 1])
    tokens = tokens.copy()
    tokens[2] += 1
    assert "the text is" in check_counts(rounds, nodes, tokens, path).evidence
    assert check_counts(rounds, nodes, tokens[:-1], path[:-1]).verdict == "failed"


def test_counts_find_a_round_without_a_root() -> None:
    rounds, nodes, tokens, path = written(*RUN, new=[2, 3, 1])
    nodes["status"][5] = STATUSES.index("rejected")
    assert "one root" in check_counts(rounds, nodes, tokens, path).evidence


def test_counts_find_an_early_round_that_was_cut() -> None:
    rounds, nodes, tokens, path = written(RUN[0], RUN[2], RUN[1], new=[2, 1, 3])
    assert "cut in the last round only" in check_counts(rounds, nodes, tokens, path).evidence

"""DEL: agreement of exits recounted, the best pair by hand, and runs that are plain decoding's."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.speculation.conftest import text_ids
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.jobs import CancelToken
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.exit_reader import ExitReader
from tokenarium.backend.speculation.exits import exits, tokens_per_layer
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.result import SpeculationResult
from tokenarium.backend.speculation.runner import speculate
from tokenarium.ui.figures.speculation import figures

DEL = Drafter.registry.find("del")


def run(target: LoadedModel, temperature: float, **parameters: Any) -> SpeculationResult:
    request = SpeculateRequest(
        model="target",
        text="THE CAT SAT ON THE CAT SAT",
        drafter={"slug": "del", "parameters": {"stride": 1} | parameters},
        draft_len=3,
        max_new_tokens=24,
        rule="speculative_sampling" if temperature else "greedy",
        temperature=temperature,
    )
    return speculate(request, target, 2048, lambda _: None, CancelToken(), {})


@torch.inference_mode()
def exits_of(target: LoadedModel, ids: list[int]) -> np.ndarray:
    """Which of the exits, all but the last layer, would have said each token from the second on."""
    model: Any = target.model
    states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[1:-1]
    said = [target.unembed(target.final_norm(each[0])).argmax(-1)[:-1] for each in states]
    return torch.stack([each == torch.tensor(ids[1:]) for each in said], -1).numpy()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_every_round_knows_the_agreement_of_every_exit(
    target: LoadedModel, temperature: float
) -> None:
    result = run(target, temperature, window=6)
    ids = [*result.prompt_ids.tolist(), *result.token_ids.tolist()]
    hits, length, moved = exits_of(target, ids), len(result.prompt_ids), 0
    agreement = result.exit_agreement
    assert agreement.shape == (len(result.rounds), len(target.layers))
    assert np.isnan(agreement[:, -1]).all()
    for row, new in zip(agreement, result.rounds["new_tokens"], strict=True):
        if length == len(ids) - 1:  # no room for a guess
            assert np.isnan(row).all()
            break
        expected = hits[max(0, length - 1 - 6) : length - 1].mean(0)
        np.testing.assert_allclose(row[:-1], expected, atol=1e-6)
        moved += not np.array_equal(row, agreement[0], equal_nan=True)
        length += new
    assert moved
    found = exits(result)
    assert [each.layers for each in found] == [1, 2]
    for each in found:
        share = np.nanmean(agreement[:, each.layers - 1])
        best = max(tokens_per_layer(share, length, each.layers, 3) for length in range(1, 9))
        assert each.agreement == pytest.approx(share)
        assert each.promised == pytest.approx(3 * best)
    drafted = (result.node_columns["depth"] == 1) & (result.node_columns["draw_order"] == 0)
    assert sum(each.rounds for each in found) == drafted.sum()
    drawn = figures(result)["exits"]
    assert list(drawn.data[0].y) == [each.agreement for each in found]
    assert list(drawn.data[1].y) == [each.promised for each in found]
    assert sum(drawn.data[2].customdata or ()) == drafted.sum()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_run_is_audited_and_equal_to_plain_decoding(
    target: LoadedModel, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = iter(range(1000))

    def agreeing(self: ExitReader, ids: list[int], start: int) -> torch.Tensor:
        """As if another exit were best in every round."""
        hits = torch.zeros(max(1, len(ids) - start), len(self.exits), dtype=torch.bool)
        hits[:, next(turns) % len(self.exits)] = True
        return hits

    monkeypatch.setattr(ExitReader, "agreeing", agreeing)
    result = run(target, temperature, window=1, confident=False)
    verdicts = {check["name"]: check["verdict"] for check in result.audit["checks"]}
    assert verdicts["draft law"] == verdicts["target law"] == "passed"
    assert "failed" not in verdicts.values()
    assert len({source for source in result.sources if source}) == len(target.layers) - 1
    assert temperature or result.token_ids.tolist() == result.plain_ids.tolist()


def test_tokens_per_layer_by_hand() -> None:
    assert tokens_per_layer(0.5, 2, 3, 12) == pytest.approx((1 + 0.5 + 0.25) / (2 * 3 + 12))
    assert tokens_per_layer(1.0, 3, 1, 4) == pytest.approx(4 / 7)
    assert tokens_per_layer(0.0, 0, 3, 12) == pytest.approx(1 / 12)


def _chosen(hits: list[list[bool]], target: LoadedModel) -> tuple[int, int]:
    """The exit and the length of a chain after a text at which exits were right so often."""
    from tokenarium.backend.speculation.distribution import Processors
    from tokenarium.backend.speculation.draft_state import DraftState

    ids, one = text_ids(8), DEL(confident=False)
    kept = TreeReader(target, 40, keep_states=(1, 2))
    kept.extend(ids[:-1])
    reader = ExitReader(kept, 1, (1, 2))
    reader.agreeing = lambda *_: torch.tensor(hits)  # type: ignore[method-assign]
    random = np.random.default_rng(0)
    state = DraftState(ids, 272, 4, 8, Processors(), random, reader)
    tree = one.propose(state)
    return reader.layers, len(tree) - 1


def test_the_first_exit_is_taken_where_all_are_right_and_none_where_none_is(
    target: LoadedModel,
) -> None:
    assert _chosen([[True, True]] * 4, target) == (1, 4)
    assert _chosen([[False, False]] * 4, target)[1] == 0
    # 3 layers: [.5, 1] promise 1.9375 / 7 and 5 / 11 tokens a layer at length 4.
    assert _chosen([[True, True], [False, True]], target) == (2, 4)
    # [.5, .75]: 1.5 / 4 at length 1 of the first, 1.75 / 5 of the second; less of any other.
    assert _chosen([[True, True], [False, True], [True, True], [False, False]], target) == (1, 1)


def test_a_chain_ends_below_what_was_accepted() -> None:
    one = DEL()

    class State:
        memory: dict[str, Any] = {"drafted": (3, [7, 8, 9], [0.9, 0.5, 0.1])}  # noqa: RUF012
        ids = (1, 2, 3, 7, 8, 4)

    one._learn_confidence(State())  # type: ignore[arg-type]
    assert one._floor(State()) == pytest.approx(0.7)  # type: ignore[arg-type]
    assert DEL(confident=False)._floor(State()) == 0  # type: ignore[arg-type]

"""Beam search writes what transformers' own writes, and keeps every beam in the journal."""

from itertools import product

import pytest
import torch

from tests.decoding.table import random_table, written
from tests.speculation.conftest import loaded_from
from tokenarium.backend.decoding.request import DecodeRequest, StrategySpec
from tokenarium.backend.decoding.runner import decode
from tokenarium.backend.decoding.strategies.beam import Beam, _Candidate
from tokenarium.backend.models.generating import end_of_text
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.events import CancelToken


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return loaded_from(tmp_path_factory.mktemp("target"))


@pytest.mark.parametrize("beams", [2, 5])
@pytest.mark.parametrize("length_penalty", [1.0, 0.0, -1.0])
def test_it_writes_what_transformers_writes(
    loaded: LoadedModel, beams: int, length_penalty: float
) -> None:
    ended = 0
    for seed in range(4):
        text = "a heron stood in the reeds"[seed:]
        spec = StrategySpec("beam", beams=beams, length_penalty=length_penalty)
        request = DecodeRequest(model="local/t", text=text, strategies=[spec], max_new_tokens=12)
        found = decode(request, loaded, 100, lambda _: None, CancelToken())
        [end] = end_of_text(loaded)
        theirs = loaded.model.generate(
            torch.tensor([found.prompt_ids.tolist()]),
            max_new_tokens=12,
            num_beams=beams,
            length_penalty=length_penalty,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
        )[0, len(found.prompt_ids) :].tolist()
        assert found.lanes[1].token_ids.tolist() == theirs[: theirs.index(end) + 1 if end in theirs
                                                           else None]  # fmt: skip
        ended += found.lanes[1].ended == "end"


def test_it_ends_where_transformers_ends(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An end-of-text token that is often likely: texts finish early, and open ones go on."""
    lengths = set()
    for seed in range(6):
        text = "a heron stood in the reeds"[seed:]
        spec = StrategySpec("beam", beams=3)
        request = DecodeRequest(model="local/t", text=text, strategies=[spec], max_new_tokens=8)
        monkeypatch.undo()
        free = decode(request, loaded, 100, lambda _: None, CancelToken()).lanes[1]
        end = int(free.token_ids[2])
        monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", end)
        assert end_of_text(loaded) == {end}
        found = decode(request, loaded, 100, lambda _: None, CancelToken())
        ids = torch.tensor([found.prompt_ids.tolist()])
        theirs = loaded.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=8,
            num_beams=3,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
        )[0, ids.shape[1] :].tolist()
        own = found.lanes[1].token_ids.tolist()
        assert own == (theirs[: theirs.index(end) + 1] if end in theirs else theirs)
        lengths.add(len(own))
    assert len(lengths) > 2


def test_enough_beams_find_the_likeliest_text_of_all() -> None:
    table = random_table(4, 3)
    lane = written(Beam(beams=32), table, most=3)
    rows = table.log_softmax(-1)

    def log_prob(ids: tuple[int, ...]) -> float:
        path = [0, 1, *ids]
        return sum(float(rows[a, b, c]) for a, b, c in zip(path, path[1:], path[2:], strict=False))

    assert tuple(lane.new) == max(product(range(4), repeat=3), key=log_prob)


def test_beams_that_are_left_stand_in_the_journal() -> None:
    lane = written(Beam(beams=3), random_table(6, 1), most=6)
    kept = [branch for branch in lane.branches if branch.kept]
    assert sum(branch.kept for branch in kept) == 5  # the last token is read by no pass
    assert len(lane.branches) > len(kept)
    assert lane.spent_in_all[0] == 5


def test_a_finished_text_is_compared_by_its_mean_where_the_penalty_is_1() -> None:
    finished = _Candidate(log_prob=-6.0, beam=None, token=0, length=2)
    assert [finished.score(penalty) for penalty in (0.0, 1.0, 2.0)] == [-6.0, -2.0, -6.0 / 9]

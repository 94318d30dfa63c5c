"""transformers' assisted generation seen from outside, and its state at squared temperature."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tests.models.conftest import save_model
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.speculation.auditing import assisted_rounds
from tokenarium.backend.speculation.auditing.assisted import Assistance, audit_assisted
from tokenarium.backend.speculation.auditing.assisted_rounds import (
    record_rounds,
    refuse_unless_known,
)
from tokenarium.backend.speculation.auditing.draft_checks import effective_temperature
from tokenarium.backend.speculation.auditing.plain_reader import PlainReader
from tokenarium.backend.speculation.auditing.sampling import check_sampling
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.node_schema import STATUSES
from tokenarium.backend.speculation.result import SpeculationResult

PROMPT = [0, 40, 41, 42, 40, 41]
SQUARED = transformers.__version__ == "5.23.0"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, LoadedModel]:
    """A tiny target and a smaller draft of the same tokens."""
    found = []
    for name, changes in (("target", {}), ("draft", {"num_hidden_layers": 1})):
        folder: Path = tmp_path_factory.mktemp(name)
        save_model(folder, "llama", max_position_embeddings=512, **changes)
        source = ModelSource(f"local/{name}", folder, None, name)
        found.append(load(source, "float32", "cpu", 256))
    return found[0], found[1]


def checks(result: SpeculationResult) -> dict[str, dict]:
    return {check["name"]: check for check in result.audit["checks"]}


def statuses(result: SpeculationResult) -> list[str]:
    return [STATUSES[place] for place in result.node_columns["status"]]


def test_watching_changes_no_token_and_leaves_nothing_behind(
    pair: tuple[LoadedModel, LoadedModel],
) -> None:
    assistance = Assistance(*pair, Processors(temperature=0.8), 30)
    before = dict(vars(pair[0].model))
    assert assistance.watched(PROMPT, 3)[0] == assistance.generate(PROMPT, 3)
    assert vars(pair[0].model).keys() == before.keys()


def test_watching_refuses_versions_it_does_not_know(
    pair: tuple[LoadedModel, LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_unless_known(pair[0])
    # its own: threads that import it at once are handed another module than later ones
    monkeypatch.setattr(assisted_rounds.transformers, "__version__", "4.57.0")
    with (
        pytest.raises(ValueError, match=r"transformers=4\.57\.0 .* install 5\.x"),
        record_rounds(pair[0]),
    ):
        pass


@pytest.mark.parametrize("assistant", [True, False])
def test_greedy_assistance_is_written_down_whole(
    pair: tuple[LoadedModel, LoadedModel], assistant: bool
) -> None:
    draft = pair[1] if assistant else None
    result = audit_assisted(Assistance(pair[0], draft, Processors(), 40), PROMPT)
    found = checks(result)
    assert result.audit["verdict"] == "passed"
    assert found["greedy identity"]["verdict"] == "passed"
    assert found["counts"]["verdict"] == "passed"
    assert found["drafted tokens"]["verdict"] == "not applicable"
    assert found["draft law"]["verdict"] == ("passed" if assistant else "not applicable")
    assert result.token_ids.tolist() == result.plain_ids.tolist()
    assert result.draw == "deterministic"
    nodes = result.node_columns
    assert result.rounds["accepted_len"].sum() == statuses(result).count("accepted")
    assert not np.isnan(nodes["p_raw"][nodes["draw_order"] >= 0]).any()
    assert np.isnan(nodes["q_raw"][nodes["draw_order"] >= 0]).any() == (not assistant)
    # Every guess before the first that differs from the target's choice was accepted.
    agree = nodes["accept_prob"] == 1
    assert agree[np.array(statuses(result)) == "accepted"].all()
    assert not agree[np.array(statuses(result)) == "rejected"].any()


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_transformers_drafts_at_squared_temperature(
    pair: tuple[LoadedModel, LoadedModel], temperature: float
) -> None:
    if not SQUARED:
        pytest.skip(f"found in transformers 5.23.0; this is {transformers.__version__}")
    target = pair[0]
    assistance = Assistance(target, target, Processors(temperature=temperature), 60, draft_len=4)
    # The first that does not end early: too few draws say nothing.
    seed = next(seed for seed in range(99) if len(assistance.generate(PROMPT, seed)) == 60)
    _, rounds = assistance.watched(PROMPT, seed)
    reader, worst = PlainReader(target), 0.0
    for seen in rounds:
        for at in range(len(seen.drafted)):
            raw = reader([*seen.before, *seen.drafted[:at]])
            probs = torch.softmax(seen.draft_scores[at], -1)
            worst = max(worst, float((probs - torch.softmax(raw / temperature**2, -1)).abs().max()))
            assert effective_temperature(raw, probs) == pytest.approx(temperature**2, rel=1e-3)
    assert worst < 2e-5

    result = audit_assisted(assistance, PROMPT, seed=seed)
    found = checks(result)
    assert result.audit["verdict"] == found["draft law"]["verdict"] == "failed"
    assert found["draft law"]["numbers"]["effective_temperature"] == pytest.approx(
        temperature**2, rel=1e-3
    )
    # It says what it draws from, so the text still has the target's distribution; only slower.
    assert found["drafted tokens"]["verdict"] == "passed"
    assert found["acceptance"]["numbers"]["accepted"] < found["acceptance"]["numbers"]["tested"]
    assert found["greedy identity"]["verdict"] == "not applicable"


def test_an_identical_pair_accepts_everything_at_temperature_1(
    pair: tuple[LoadedModel, LoadedModel],
) -> None:
    assistance = Assistance(pair[0], pair[0], Processors(temperature=1.0), 60, draft_len=4)
    result = audit_assisted(assistance, PROMPT)
    found = checks(result)
    assert result.audit["verdict"] == found["draft law"]["verdict"] == "passed"
    assert found["acceptance"]["numbers"]["accepted"] == found["acceptance"]["numbers"]["tested"]
    assert set(statuses(result)) <= {"root", "accepted", "bonus"}


def test_prompt_lookup_is_judged_by_the_drawn_token(pair: tuple[LoadedModel, LoadedModel]) -> None:
    assistance = Assistance(pair[0], None, Processors(temperature=0.3), 40)
    result = audit_assisted(assistance, PROMPT * 3)
    assert result.rule == "sample_and_match"
    assert checks(result)["counts"]["verdict"] == "passed"
    assert result.rounds["drafted"].sum() > 0
    assert len(result.token_ids) == 40


@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_a_text_that_ends_inside_a_draft_is_written_down(
    pair: tuple[LoadedModel, LoadedModel], most: int
) -> None:
    result = audit_assisted(Assistance(pair[0], pair[0], Processors(), most), PROMPT)
    assert len(result.token_ids) == most
    assert result.audit["verdict"] == "passed"
    assert len(result.node_columns) == len(result.target_top_ids) == len(result.judged_accept)


def test_an_accepted_end_of_text_closes_the_run(pair: tuple[LoadedModel, LoadedModel]) -> None:
    target = pair[0]
    plain = Assistance(target, target, Processors(), 12).generate(PROMPT, 0)
    ends, seen = target.model.generation_config.eos_token_id, set()
    for end in sorted(set(plain)):
        target.model.generation_config.eos_token_id = end
        try:
            result = audit_assisted(Assistance(target, target, Processors(), 12), PROMPT)
        finally:
            target.model.generation_config.eos_token_id = ends
        assert result.token_ids.tolist() == plain[: plain.index(end) + 1]
        assert result.ended == "end"
        assert result.audit["verdict"] == "passed"
        last = result.node_columns[result.token_node[-1]]
        seen.add(STATUSES[last["status"]])
        # Nothing is told of the token that transformers drew after it and dropped.
        assert STATUSES.index("cut") not in result.node_columns["status"]
    assert seen == {"accepted", "bonus"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_sampled_law_tells_lossless_assistance_from_ensembles(
    pair: tuple[LoadedModel, LoadedModel],
) -> None:
    asked = Processors(temperature=0.5, top_k=4)
    assistance, samples = Assistance(*pair, asked, 3, draft_len=2), 800
    result = audit_assisted(assistance, PROMPT, samples=samples)
    check = checks(result)["sampled law"]
    assert check["verdict"] == "passed"
    assert check["numbers"]["found_total_variation"] < 0.15

    def mixed(seed: int) -> list[int]:
        settings = assistance.settings()
        settings.assistant_ensemble_weight = 0.5
        torch.default_generator.manual_seed(seed)
        ids = torch.tensor([PROMPT])
        found = pair[0].model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=settings,
            assistant_model=pair[1].model,
        )
        return found[0, len(PROMPT) :].tolist()

    reader = PlainReader(pair[0])
    biased = check_sampling(
        mixed, lambda ids: asked.probs(reader(ids)[None])[0], PROMPT, samples=samples
    )
    assert biased.verdict == "failed"

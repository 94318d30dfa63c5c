"""What every registered decoding strategy must declare, and what holds for all of them."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tokenarium.backend.decoding.strategies
from tests.contracts.test_policies import out_of_bounds
from tests.decoding.table import TableReader, lane_of, random_table
from tests.models.conftest import save_model
from tokenarium.backend.decoding.calibration import Calibration
from tokenarium.backend.decoding.next_token import NextToken
from tokenarium.backend.decoding.request import DecodeRequest, StrategySpec
from tokenarium.backend.decoding.result import DecodeResult
from tokenarium.backend.decoding.runner import decode
from tokenarium.backend.decoding.strategy import Strategy
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import CancelToken

STRATEGIES = [
    kind for kind in Strategy.registry.all() if kind.__module__.startswith("tokenarium.backend.")
]
EVERY = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.slug)
FAMILIES = ("llama", "qwen3", "gemma3_text", "gpt2", "gpt_neox", "bloom")
TEXT = "a heron stood in the reeds, a heron stood"
V = 8
UNSURE = Calibration(np.linspace(0.1, 2.0, 20, dtype=np.float32), np.ones(20, np.float32))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LoadedModel]:
    made: dict[str, LoadedModel] = {}

    def model(family: str) -> LoadedModel:
        if family not in made:
            folder = save_model(tmp_path_factory.mktemp(family), family)
            made[family] = load(ModelSource(f"local/{family}", folder, None, family), "float32",
                                "cpu", 128)  # fmt: skip
            head: Any = made[family].model.get_output_embeddings()
            head.weight.data *= 3  # as sure of some tokens as trained models are
        return made[family]

    return model


def run(loaded: LoadedModel, *specs: StrategySpec, **more: Any) -> DecodeResult:
    request = DecodeRequest(
        model="local/tiny", text=TEXT, strategies=specs, **{"max_new_tokens": 10, **more}
    )
    return decode(request, loaded, 100, lambda _: None, CancelToken())


@pytest.fixture
def distributions(monkeypatch: pytest.MonkeyPatch) -> list[NextToken]:
    """Every distribution that is looked at."""
    seen: list[NextToken] = []
    original = NextToken.__init__

    def noted(self: NextToken, *args: Any) -> None:
        original(self, *args)
        seen.append(self)

    monkeypatch.setattr(NextToken, "__init__", noted)
    return seen


def test_every_file_of_the_family_is_one_strategy() -> None:
    folder = Path(tokenarium.backend.decoding.strategies.__path__[0])
    files = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert {kind.__module__.rpartition(".")[2] for kind in STRATEGIES} == files
    assert {kind.slug for kind in STRATEGIES} == files
    with pytest.raises(ValueError, match=r"strategy='oracle' is unknown: choose .*greedy"):
        Strategy.registry.find("oracle")


@EVERY
def test_it_declares_all_that_the_page_shows(strategy: type[Strategy]) -> None:
    assert strategy.title[0].isupper()
    assert strategy.explanation.endswith(".")
    assert strategy.paper
    assert strategy().most_passes(8) >= 1
    for name, field in strategy.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
    strategy(**strategy.neutral)
    strategy(**strategy.published)
    for name, value in out_of_bounds(strategy):
        with pytest.raises(ValueError, match=name):
            strategy(**{name: value})


@EVERY
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_neutral_parameters_write_what_plain_decoding_writes(
    strategy: type[Strategy], temperature: float
) -> None:
    warm = {"temperature": temperature} if "temperature" in strategy.model_fields else {}
    for seed in range(6):
        own = strategy(**{**warm, **strategy.neutral})
        plain = own.plain()
        lanes = []
        for one in (own, plain):
            lane = lane_of(
                one, TableReader(random_table(V, seed)), most=12, end=3, seed=seed,
                calibration=UNSURE,
            )  # fmt: skip
            one.decode(lane)
            lanes.append(lane)
        assert lanes[0].new == lanes[1].new
        assert lanes[0].ended == lanes[1].ended


@EVERY
def test_what_it_builds_on_is_measured_by_a_lane_that_has_not_written(
    strategy: type[Strategy],
) -> None:
    table = random_table(V, 5)
    plain = lane_of(strategy().plain(), TableReader(table), most=24)
    strategy().plain().decode(plain)
    known = Calibration(
        np.array([made.entropy_nats for made in plain.records], np.float32),
        np.array([made.varentropy_nats2 for made in plain.records], np.float32),
        np.array([-made.log_prob for made in plain.records], np.float32),
        tuple(plain.new),
    )
    lane = lane_of(strategy(), TableReader(table), most=24, calibration=known)
    premise = strategy().premise(lane)
    if not strategy.builds_on:
        assert premise is None
        return
    assert premise is not None
    assert premise.claim == strategy.builds_on
    assert premise.claim[0].islower()
    assert not premise.claim.endswith(".")
    passes = lane.spent_in_all[0] + lane.small_spent[0]
    assert passes <= strategy().most_premise_passes(24) + strategy().most_small_passes(24)
    if premise.holds is not None:
        assert premise.drawing is not None
        assert all(len(one.x) == len(one.y) for one in premise.drawing.series)


@EVERY
@pytest.mark.parametrize("chain", [None, "only one after another"])
def test_counters_are_the_passes_that_ran(strategy: type[Strategy], chain: str | None) -> None:
    reader = TableReader(random_table(V, 5), chain)
    lane = lane_of(strategy(), reader, most=12, calibration=UNSURE)
    before = reader.passes, reader.token_steps
    strategy().decode(lane)
    spent = reader.passes - before[0], reader.token_steps - before[1]
    assert spent == lane.spent_in_all
    assert lane.ended
    if chain is None:
        assert spent[0] <= strategy().most_passes(12)
        assert spent[1] <= strategy().most_token_steps(12)


@EVERY
def test_a_chain_of_passes_writes_what_a_tree_does(strategy: type[Strategy]) -> None:
    texts = []
    for chain in (None, "only one after another"):
        reader = TableReader(random_table(V, 2), chain)
        lane = lane_of(strategy(), reader, most=10, calibration=UNSURE)
        strategy().decode(lane)
        texts.append((lane.new, np.array(lane.journal.rows)[:, :5]))
    assert texts[0][0] == texts[1][0]
    np.testing.assert_array_equal(texts[0][1], texts[1][1])


@EVERY
@pytest.mark.parametrize("family", FAMILIES)
def test_every_distribution_is_that_of_a_fresh_pass(
    strategy: type[Strategy],
    family: str,
    models: Callable[[str], LoadedModel],
    distributions: list[NextToken],
) -> None:
    loaded = models(family)
    result = run(loaded, StrategySpec(slug=strategy.slug))
    assert len(distributions) >= len(result.token_columns) - 2
    looked = [found for found in distributions if -1 not in found.path]
    for small in {found.small for found in looked}:
        own = [found for found in looked if found.small == small]
        known = fresh(loaded, strategy() if small else None, {tuple(one.path) for one in own})
        for found in own:
            torch.testing.assert_close(found.probs, known[tuple(found.path)], atol=1e-5, rtol=1e-4)


def fresh(
    loaded: LoadedModel, of_small: Strategy | None, paths: Collection[tuple[int, ...]]
) -> dict[tuple[int, ...], torch.Tensor]:
    """Return the distribution [V] after each path, of passes that use no cache.

    A pass over a path also has those after every path that it begins with. ``of_small`` is the
    strategy whose second, smaller model is asked.
    """
    known: dict[tuple[int, ...], torch.Tensor] = {}
    for path in sorted(paths, key=len, reverse=True):
        if path in known:
            continue
        with torch.inference_mode():
            out = loaded.model(
                input_ids=torch.tensor([path]), use_cache=False, output_hidden_states=True
            )
            logits = out.logits
            if of_small is not None:
                assert of_small.small is not None
                layers = of_small.small.layers(len(loaded.layers))
                assert loaded.final_norm is not None
                if layers is not None:
                    logits = loaded.unembed(loaded.final_norm(out.hidden_states[layers]))
        for length in range(1, len(path) + 1):
            if path[:length] in paths:
                known[path[:length]] = torch.softmax(logits[0, length - 1].float(), -1)
    return known


@EVERY
def test_the_same_seed_writes_the_same_journal(
    strategy: type[Strategy], models: Callable[[str], LoadedModel]
) -> None:
    spec = StrategySpec(slug=strategy.slug)
    one, again = (run(models("llama"), spec, seed=4) for _ in range(2))
    for name in one.journal.dtype.names or ():
        np.testing.assert_array_equal(one.journal[name], again.journal[name], err_msg=name)
    for first, second in zip(one.lanes, again.lanes, strict=True):
        assert first.text == second.text
        assert first.token_ids.tolist() == second.token_ids.tolist()


@EVERY
def test_what_was_taken_and_not_taken_back_is_the_text(
    strategy: type[Strategy], models: Callable[[str], LoadedModel]
) -> None:
    result = run(models("llama"), StrategySpec(slug=strategy.slug))
    for lane in result.lanes:
        text: list[int] = []
        for row in lane.journal:
            if row["action"] == 0:
                assert row["step"] == len(text)
                text.append(row["token"])
            elif row["action"] == 6:
                assert text.pop() == row["token"]
        assert text == lane.token_ids.tolist()
        assert len(lane.entropy_nats) == len(lane.varentropy_nats2) == len(text)
        assert set(lane.journal["branch"]) - {0} <= set(lane.branches["branch"])
        kept = lane.journal[(lane.journal["action"] == 0) & (lane.journal["branch"] > 0)]
        assert lane.branches["kept"].sum() == len(kept) or (lane.journal["action"] == 6).any()

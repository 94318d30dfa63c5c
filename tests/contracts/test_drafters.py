"""What every registered drafter must declare, and what its trees must be."""

import re
from pathlib import Path
from typing import get_args

import pytest
import torch

import tokenarium.backend.speculation.drafters
from tests.contracts.test_policies import SENTENCE, out_of_bounds
from tests.speculation.conftest import Starts, draft, starts, target, text_ids
from tests.speculation.heads import every_model_has_a_head
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.draft_state import DraftState
from tokenarium.backend.speculation.drafter import Drafter, Source
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

__all__ = ["draft", "every_model_has_a_head", "starts", "target"]

DRAFTERS = [
    kind for kind in Drafter.registry.all() if kind.__module__.startswith("tokenarium.backend.")
]
EVERY = pytest.mark.parametrize("drafter", DRAFTERS, ids=lambda drafter: drafter.slug)
TEMPERATURES = pytest.mark.parametrize("temperature", [0.0, 1.0])
ROUNDS = 6


@torch.inference_mode()
def rounds(drafter: Drafter, state: DraftState, count: int = ROUNDS) -> list[TokenTree]:
    """Trees of a run whose target is noise: each is accepted along some path of its own."""
    noise = torch.Generator().manual_seed(1)
    trees = []
    for _ in range(count):
        tree = drafter.propose(state)
        nodes = tree.verified()
        drafter.update(state, tree, torch.randn(len(nodes), 272, generator=noise))
        end = nodes[int(torch.randint(len(nodes), (1,), generator=noise))]
        state.keep(tree.path(end))
        state.ids += [tree.tokens[node] for node in tree.path(end)[1:]]
        state.ids.append(int(torch.randint(60, 72, (1,), generator=noise)))
        trees.append(tree)
    return trees


def drawn_again(one: TokenTree, other: TokenTree) -> bool:
    return (one.tokens, one.parents, one.pruned) == (other.tokens, other.parents, other.pruned)


def test_every_file_of_the_family_is_one_drafter() -> None:
    folder = Path(tokenarium.backend.speculation.drafters.__path__[0])
    files = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert {drafter.__module__.rpartition(".")[2] for drafter in DRAFTERS} == files
    assert {drafter.slug for drafter in DRAFTERS} == files
    assert len(DRAFTERS) == len(files) >= 9
    with pytest.raises(ValueError, match=r"drafter='oracle' is unknown: choose .*draft_chain"):
        Drafter.registry.find("oracle")


@EVERY
def test_it_declares_all_that_the_page_shows(drafter: type[Drafter]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", drafter.slug)
    assert drafter.title
    assert drafter.differs
    assert SENTENCE.fullmatch(drafter.explanation)
    assert re.search(r"\d{4}, arXiv:\d{4}\.\d{5}|a baseline|transformers", drafter.paper)
    assert drafter.draw in get_args(Draw)
    assert drafter.source in get_args(Source)
    assert not drafter.prunes or drafter.draw == "deterministic"
    bounded = [name for name, _ in out_of_bounds(drafter)]
    for name, field in drafter.model_fields.items():
        assert SENTENCE.fullmatch(field.description or ""), name
        assert not field.is_required(), f"{name} has no default"
        if {int, float} & {field.annotation, *get_args(field.annotation)} - {tuple}:
            assert name in bounded or field.annotation not in (int, float), f"{name} is unbounded"
    for name, value in out_of_bounds(drafter):
        if drafter.model_fields[name].annotation in (int, float):
            with pytest.raises(ValueError, match=name):
                drafter(**{name: value})


@EVERY
@pytest.mark.parametrize(
    ("sizes", "temperature"),
    [((4, 9), 0.0), ((4, 9), 1.0), ((1, 9), 1.0), ((9, 1), 0.0), ((7, 3), 1.0), ((3, 40), 0.0)],
)
def test_trees_are_well_formed_and_keep_to_the_budget(
    starts: Starts, drafter: type[Drafter], temperature: float, sizes: tuple[int, int]
) -> None:
    draft_len, budget = sizes
    one = drafter()
    state = starts(one, text_ids(30), temperature, draft_len, budget)
    grew = 0
    for root, tree in _with_roots(one, state):
        assert tree.tokens[ROOT] == root
        assert tree.parents[ROOT] == -1
        assert len(tree.tokens) == len(tree.parents) == len(tree.values) == len(tree.sources)
        assert all(0 <= parent < node for node, parent in enumerate(tree.parents) if node)
        assert all(0 <= token < 272 for token in tree.tokens)
        assert all(tree.sources[1:])
        verified = tree.verified()
        assert len(verified) - 1 <= budget
        assert max(map(tree.depth, range(len(tree)))) <= draft_len
        assert one.prunes or not tree.pruned
        for family in tree.children_by_node():
            assert one.branches or len(family) <= 1
            tokens = [tree.tokens[child] for child in family]
            assert len(set(tokens)) == len(tokens) or (one.draw == "iid" and temperature > 0)
        grew += len(verified) - 1
    assert grew > 0


def _with_roots(drafter: Drafter, state: DraftState) -> list[tuple[int, TokenTree]]:
    found = []
    for _ in range(ROUNDS):
        root = state.ids[-1]
        found += [(root, tree) for tree in rounds(drafter, state, 1)]
    return found


@EVERY
@TEMPERATURES
def test_children_have_the_law_they_were_chosen_by(
    starts: Starts, drafter: type[Drafter], temperature: float
) -> None:
    one = drafter()
    for tree in rounds(one, starts(one, text_ids(30), temperature, top_p=0.9)):
        copied = [source.endswith("-gram") or one.source == "text" for source in tree.sources]
        drafted = {above for above, copy in zip(tree.parents, copied, strict=True) if not copy}
        assert set(tree.draft_probs) == drafted - {-1}
        for node, probs in tree.draft_probs.items():
            assert (probs.shape, probs.dtype) == ((272,), torch.float32)
            assert float(probs.sum()) == pytest.approx(1, abs=1e-5)
            children = [child for child, above in enumerate(tree.parents) if above == node]
            assert all(probs[tree.tokens[child]] > 0 for child in children)
        for node, value in enumerate(tree.values[1:], 1):
            if value == value:  # NaN where nothing is expected
                assert 0 <= value <= tree.values[tree.parents[node]] <= 1


@EVERY
def test_the_seed_decides_what_is_drawn_and_nothing_else(
    starts: Starts, drafter: type[Drafter]
) -> None:
    one = drafter()

    def run(temperature: float, seed: int) -> list[TokenTree]:
        return rounds(one, starts(one, text_ids(30), temperature, seed=seed))

    for temperature in (0.0, 1.0):
        pairs = list(zip(run(temperature, 3), run(temperature, 3), strict=True))
        assert all(drawn_again(*pair) for pair in pairs)
    others = list(zip(run(0.0, 3), run(0.0, 4), strict=True))
    assert all(drawn_again(*pair) for pair in others), "nothing is drawn at temperature 0"
    alike = all(drawn_again(*pair) for pair in zip(run(1.0, 3), run(1.0, 4), strict=True))
    assert alike == (one.draw == "deterministic")


@EVERY
@TEMPERATURES
@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_prompt_of_few_tokens_is_continued(
    starts: Starts, drafter: type[Drafter], temperature: float, length: int
) -> None:
    one = drafter()
    state = starts(one, text_ids(length), temperature)
    before = len(state.ids)
    trees = rounds(one, state)
    assert len(state.ids) >= before + ROUNDS
    assert all(len(tree.verified()) <= 10 for tree in trees)


@EVERY
def test_it_reads_as_many_layers_as_there_are(drafter: type[Drafter], target: LoadedModel) -> None:
    count = len(target.layers)
    read = drafter().layers(count)
    assert read == count if drafter.source != "target_layers" else 1 <= read < count


def test_a_slug_is_taken_once() -> None:
    with pytest.raises(TypeError, match="slug='draft_chain' is taken by 'Draft chain'"):
        type("Again", (Drafter,), {"slug": "draft_chain", "__annotations__": {}})

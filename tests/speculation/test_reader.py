"""Reading a tree of guesses gives what each path gives when it is read alone by transformers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.models.conftest import FAMILIES, save_model
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.probes import branches
from tokenarium.backend.speculation import reader
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.kernels.tree_attention import Ancestry

SAME = 1e-5
"""Of the largest |logit|, float32."""
CONTEXT = 128
ROUNDS = (  # parents of the guesses of each read, and the path that is kept
    ([[-1], [0, 0, 0], [1, 1, 2, 4], [5, 7]], [0, 1, 5, 8]),
    ([[-1, 0, 1, 2], [-1, 4, 5, 5]], [4, 5, 7]),
    ([[-1, 0, 1, 1, 0, 4]], [0, 4, 5]),
    ([[-1, 0, 0]], [0]),
)


@dataclass(frozen=True)
class Saved:
    """A model as the application loads it, and where it lies."""

    loaded: LoadedModel
    folder: Path

    def twin(self, **changes: object) -> PreTrainedModel:
        """Return transformers' own with eager attention."""
        options = {"attn_implementation": "eager", "dtype": torch.float32} | changes
        return AutoModelForCausalLM.from_pretrained(self.folder, **options).eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Saved]:
    made: dict[tuple[str, str], Saved] = {}

    def model(family: str, dtype: str = "float32") -> Saved:
        if (family, dtype) not in made:
            folder = save_model(tmp_path_factory.mktemp(family), family)
            source = ModelSource(f"local/{family}", folder, None, family)
            made[family, dtype] = Saved(load(source, dtype, "cpu", CONTEXT), folder)
        return made[family, dtype]

    return model


def some_ids(count: int, seed: int) -> list[int]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(2, 250, (count,), generator=draw).tolist()


@torch.inference_mode()
def alone(twin: PreTrainedModel, ids: Sequence[int]) -> torch.Tensor:
    return twin(input_ids=torch.tensor([list(ids)])).logits[0, -1].float()


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected).abs().max() / expected.abs().max())


def path_of(ids: list[int], parents: list[int], node: int) -> list[int]:
    found = []
    while node >= 0:
        found.append(ids[node])
        node = parents[node]
    return found[::-1]


def worst_difference(tree_reader: TreeReader, twin: PreTrainedModel, text: list[int]) -> float:
    """Read some rounds of trees, and return the largest difference of any node from its path."""
    found = [difference(tree_reader.extend(text), alone(twin, text))]
    for seed, (source, kept) in enumerate(ROUNDS):
        ids, parents = list[int](), list[int]()
        for read in source:
            first = len(ids)
            ids += some_ids(len(read), 10 * seed + first)
            parents += read
            logits = tree_reader.read(ids[first:], read)
            for node in range(first, len(ids)):
                expected = alone(twin, text + path_of(ids, parents, node))
                found.append(difference(logits[node - first], expected))
        tree_reader.keep(kept)
        text = text + [ids[node] for node in kept]
        more = some_ids(1 + seed, 99 + seed)
        text = text + more
        found.append(difference(tree_reader.extend(more), alone(twin, text)))
        assert tree_reader.length == len(text)
    return max(found)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_node_has_the_logits_of_its_own_path(family, saved):
    model = saved(family)
    tree_reader = TreeReader(model.loaded, 100)
    assert tree_reader.chain_only is None
    assert worst_difference(tree_reader, model.twin(), some_ids(41, 5)) < SAME


@pytest.mark.parametrize("length", [1, 2, 15])
def test_a_short_text_may_grow_past_the_window_and_the_room(length, saved):
    model = saved("mistral")
    assert worst_difference(TreeReader(model.loaded, 1), model.twin(), some_ids(length, 5)) < SAME


def test_a_tree_may_follow_nothing(saved):
    model = saved("qwen2")
    logits = TreeReader(model.loaded, 10).read([7, 8, 9], [-1, 0, 0])
    for row, path in enumerate([[7], [7, 8], [7, 9]]):
        assert difference(logits[row], alone(model.twin(), path)) < SAME


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2", "opt"])
def test_early_exit_is_a_model_of_that_many_layers(family, saved):
    model = saved(family)
    shallow = model.twin(num_hidden_layers=2)
    tree_reader = TreeReader(model.loaded, 100, layers=2)
    assert worst_difference(tree_reader, shallow, some_ids(41, 5)) < SAME
    assert len(tree_reader.keys) == 2
    whole = worst_difference(TreeReader(model.loaded, 100), shallow, some_ids(41, 5))
    assert whole > 100 * SAME


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("known", [0, 3])
def test_a_chain_read_on_from_stored_states_is_a_full_pass(family, known, saved):
    """What the first layers left is not computed again, and the logits are the same."""
    model, asked = saved(family), []
    tree_reader = TreeReader(model.loaded, 8, lambda: asked.append(1))
    text, twin = some_ids(21, 5), model.twin()
    tree_reader.extend(text)
    for seed, kept in ((1, 2), (2, 4), (3, 1)):
        chain = some_ids(4, seed)
        states = [
            tree_reader.read_span([token], [place - 1], 2)
            for place, token in enumerate(chain[:known])
        ]
        width = model.loaded.model.config.hidden_size
        residual = torch.cat([torch.zeros(0, width), *states])
        asked.clear()
        logits = tree_reader.read_on(chain, residual, 2)
        assert len(asked) == (3 - 2) + 2, "the tokens that are new, and the last layer of all"
        for place in range(4):
            assert difference(logits[place], alone(twin, text + chain[: place + 1])) < SAME
        wrong = tree_reader.read_on(chain, torch.ones(4, width), 2)
        assert difference(wrong[3], alone(twin, text + chain)) > 1000 * SAME
        tree_reader.read_on(chain, residual, 2)
        tree_reader.keep(range(kept))
        text += chain[:kept]
        assert difference(tree_reader.extend([5]), alone(twin, [*text, 5])) < SAME
        text.append(5)


def test_bfloat16_is_as_near_to_float32_as_its_own_plain_model(saved):
    model = saved("llama", "bfloat16")
    exact, rounded = model.twin(), model.twin(dtype=torch.bfloat16, attn_implementation="sdpa")
    text = some_ids(41, 5)
    own = difference(alone(rounded, text), alone(exact, text))
    assert worst_difference(TreeReader(model.loaded, 100), exact, text) < 4 * own < 0.1


@pytest.mark.parametrize("layers", [0, 4, -1])
def test_layers_the_model_does_not_have_are_refused(layers, saved):
    with pytest.raises(ValueError, match=f"layers={layers} is not between 1 and the 3"):
        TreeReader(saved("llama").loaded, 10, layers=layers)


def test_a_position_the_model_does_not_have_is_refused(saved):
    tree_reader = TreeReader(saved("gpt2").loaded, CONTEXT)
    tree_reader.extend(some_ids(CONTEXT - 1, 0))
    tree_reader.read([5, 6, 7], [-1, -1, -1])
    tree_reader.keep([2])
    with pytest.raises(ValueError, match=f"position {CONTEXT}, but local/gpt2 has {CONTEXT}"):
        tree_reader.read([5], [-1])


def test_the_check_is_asked_in_every_layer(saved):
    asked = []
    tree_reader = TreeReader(saved("llama").loaded, 50, lambda: asked.append(1))
    asked.clear()
    tree_reader.extend([5, 6])
    tree_reader.read([7, 8], [-1, -1])
    assert len(asked) == 2 * 3


def without_positions(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model take positions from the length of its cache."""
    original = model.model.base_model.forward

    def forward(*args, position_ids=None, **options):
        return original(*args, **options)

    monkeypatch.setattr(model.model.base_model, "forward", forward)


def without_mask(_: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every node see all nodes before it."""
    original = reader.tree_attention

    def attention(q, keys, values, tree, **options):
        return original(q, keys, values, Ancestry(range(-1, len(tree) - 1)), **options)

    monkeypatch.setattr(reader, "tree_attention", attention)


@pytest.mark.parametrize("spoil", [without_positions, without_mask])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_model_that_reads_branches_wrong_is_found_out(family, spoil, saved, monkeypatch):
    model = saved(family)
    monkeypatch.setattr(capabilities, "_known", {})
    spoil(model.loaded, monkeypatch)
    tree_reader = TreeReader(model.loaded, 100)
    assert "two branches after a text are read wrong (logits differ" in tree_reader.chain_only
    tree_reader.chain_only = None
    assert worst_difference(tree_reader, model.twin(), some_ids(41, 5)) > 100 * SAME


def check_chain(tree_reader: TreeReader, twin: PreTrainedModel) -> None:
    """Read a chain in pieces past a window of 16, keep some of it, and try a branch."""
    text, ids = some_ids(31, 1), some_ids(6, 2)
    tree_reader.extend(text)
    for row, logits in enumerate(tree_reader.read(ids[:4], [-1, 0, 1, 2])):
        assert difference(logits, alone(twin, text + ids[: row + 1])) < SAME
    assert difference(tree_reader.read(ids[4:], [3, 4])[-1], alone(twin, text + ids)) < SAME
    tree_reader.keep([0, 1, 2])
    after = text + ids[:3] + [9]
    assert difference(tree_reader.extend([9]), alone(twin, after)) < SAME
    with pytest.raises(ValueError, match=r"\[-1, -1\] are no chain, and local/\S+ reads no trees"):
        tree_reader.read([5, 6], [-1, -1])


def test_a_chain_is_read_where_trees_are_not(saved, monkeypatch):
    model = saved("gemma3_text")
    monkeypatch.setattr(capabilities, "_known", {})
    without_positions(model.loaded, monkeypatch)
    check_chain(TreeReader(model.loaded, 10), model.twin())


def test_a_chain_is_read_in_chunks(tmp_path):
    chunks = {"attention_chunk_size": 16, "num_key_value_heads": 2, "head_dim": 8}
    experts = {"num_local_experts": 2, "num_experts_per_tok": 1, "intermediate_size_mlp": 48}
    save_model(tmp_path, "llama4_text", **chunks, **experts)
    source = ModelSource("local/llama4", tmp_path, None, "llama4")
    model = Saved(load(source, "float32", "cpu", CONTEXT), tmp_path)
    tree_reader = TreeReader(model.loaded, 10)
    assert tree_reader.chain_only.startswith("its layers of kind chunked_attention choose")
    check_chain(tree_reader, model.twin())


def test_a_model_that_cannot_go_on_from_a_text_is_refused(saved, monkeypatch):
    model = saved("llama").loaded
    monkeypatch.setattr(capabilities, "_known", {})
    original = model.model.base_model.forward

    def forward(*args, past_key_values=None, position_ids=None, **options):
        return original(*args, **options)

    monkeypatch.setattr(model.model.base_model, "forward", forward)
    with pytest.raises(ValueError, match=r"cannot read drafted tokens .*choose another"):
        TreeReader(model, 10)


def test_a_model_is_probed_once(saved, monkeypatch):
    model = saved("llama").loaded
    monkeypatch.setattr(capabilities, "_known", {})
    TreeReader(model, 10)
    monkeypatch.setattr(branches, "why_chain_only", lambda *_: pytest.fail("probed again"))
    TreeReader(model, 10, layers=1)

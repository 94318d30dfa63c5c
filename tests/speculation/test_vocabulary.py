"""Draft and target tokenizers compared, and ids and distributions brought from one to the other."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from tests.models.conftest import byte_tokenizer
from tests.speculation.conftest import text_ids
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.draft_state import DraftState
from tokenarium.backend.speculation.drafters.gumbel_tree import GumbelTree
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.vocabulary import SharedVocabulary, compare, match

SIZE = 264


def changed(
    order: Sequence[int] | None = None, without: int = 0, eos: str = "<|eos|>"
) -> PreTrainedTokenizerFast:
    """The tiny tokenizer with its ids in another order, or without its last merges."""
    state = json.loads(byte_tokenizer().backend_tokenizer.to_str())
    vocabulary = state["model"]["vocab"]
    entries = sorted(vocabulary, key=vocabulary.__getitem__)
    if without:
        entries = entries[:-without]
        state["model"]["merges"] = state["model"]["merges"][:-without]
    if order is not None:
        entries = [entries[place] for place in order]
    entries = [eos if entry == "<|eos|>" else entry for entry in entries]
    state["model"]["vocab"] = {entry: key for key, entry in enumerate(entries)}
    for token in state["added_tokens"]:
        token["content"] = eos if token["content"] == "<|eos|>" else token["content"]
        token["id"] = entries.index(token["content"])
    state["post_processor"] = None
    core = Tokenizer.from_str(json.dumps(state))
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<|bos|>", eos_token=eos)


def order_of(seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).permutation(SIZE).tolist()


def test_the_same_tokenizer_is_equal_and_changes_nothing() -> None:
    shared = match(changed(), changed(), SIZE, SIZE)
    assert shared.agreement == "equal"
    assert shared.reason.startswith("both have the same 264 tokens under the same ids")
    logits = torch.randn(3, SIZE)
    assert shared.logits(logits) is logits
    assert shared.translated([5, 9]) == shared.spelled([5, 9]) == [5, 9]


@pytest.mark.parametrize("widths", [(272, 272), (272, 280), (280, 272)])
def test_rows_of_padding_are_never_drafted(widths: tuple[int, int]) -> None:
    shared = match(changed(), changed(), *widths)
    assert shared.agreement == "equal"
    logits = torch.randn(2, widths[1])
    found = shared.logits(logits)
    assert found.shape == (2, widths[0])
    torch.testing.assert_close(found[:, :SIZE], logits[:, :SIZE], rtol=0, atol=0)
    assert (found[:, SIZE:] == float("-inf")).all()


def test_other_ids_are_brought_to_the_targets() -> None:
    order = order_of()
    shared = match(changed(), changed(order), 272, 270)
    assert shared.agreement == "intersection"
    assert shared.reason.startswith("264 tokens have other ids: the 264 tokens in common")
    logits = torch.randn(2, 270)
    found = shared.logits(logits)
    for place, token in enumerate(order):
        assert torch.equal(found[:, token], logits[:, place])
    assert (found[:, SIZE:] == float("-inf")).all()
    assert shared.translated([order[7], order[0]]) == shared.spelled([order[7], order[0]]) == [7, 0]


@pytest.mark.parametrize("order", [None, order_of()], ids=["same ids", "other ids"])
def test_tokens_beyond_what_a_model_knows_are_not_drafted(order: list[int] | None) -> None:
    shared = match(changed(), changed(order), 262, 260)
    assert max(shared.target_ids) < 262
    assert max(shared.draft_ids) < 260
    assert shared.agreement == "intersection"
    assert shared.logits(torch.randn(2, 260)).shape == (2, 262)


def test_a_law_is_restricted_to_what_both_have_and_renormalised() -> None:
    target, draft = changed(), changed(without=2)
    shared = match(target, draft, SIZE, SIZE)
    assert shared.agreement == "intersection"
    assert "the target has 264 tokens and the draft 262" in shared.reason
    logits = torch.randn(2, SIZE)
    probs = Processors(1.0).soft_probs(shared.logits(logits))
    own = torch.softmax(logits, -1)[:, :262]
    torch.testing.assert_close(probs[:, :262], own / own.sum(-1, keepdim=True))
    assert (probs[:, 262:] == 0).all()


def test_tokens_that_the_draft_lacks_are_spelled_in_its_own() -> None:
    target, draft = changed(), changed(without=3)
    shared = match(target, draft, 272, SIZE)
    [hello] = target.encode("hello", add_special_tokens=False)
    pieces = draft.encode("hello", add_special_tokens=False)
    assert len(pieces) > 1
    assert shared.spelled([70, hello, 71]) == [70, *pieces, 71]
    assert set(range(272)) - set(shared.target_ids) == {261, 262, 263, *range(SIZE, 272)}
    assert all(shared.spelled([token]) for token in range(272)), "padding too is something to read"


def test_special_tokens_in_the_same_role_are_the_same() -> None:
    target, draft = changed(), changed(eos="</s>")
    shared = match(target, draft, SIZE, SIZE)
    assert shared.translated([1]) == [1]
    assert len(shared.target_ids) == SIZE


def test_an_ordinary_token_is_no_special_one_that_looks_alike() -> None:
    draft = changed()
    draft.add_tokens(["<|pad|>"], special_tokens=False)
    target = changed()
    target.add_tokens(["<|pad|>"], special_tokens=True)
    shared = match(target, draft, 272, 272)
    assert shared.agreement == "intersection"
    assert SIZE not in shared.target_ids


def test_texts_that_are_cut_differently_are_said() -> None:
    draft = changed()
    state = json.loads(draft.backend_tokenizer.to_str())
    state["normalizer"] = {"type": "Lowercase"}
    lower = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        bos_token="<|bos|>",
        eos_token="<|eos|>",
    )
    shared = match(changed(), lower, SIZE, SIZE)
    assert shared.agreement == "intersection"
    assert "3 of 4 sample texts are cut differently" in shared.reason


def test_a_draft_with_hardly_a_token_in_common_is_refused() -> None:
    core = Tokenizer.from_str(
        json.dumps(
            json.loads(changed().backend_tokenizer.to_str())
            | {"model": {"type": "WordLevel", "vocab": {"zebra": 0, "?": 1}, "unk_token": "?"}}
            | {"added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}}
        )
    )
    foreign = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="?")
    with pytest.raises(ValueError, match="below 25%: choose a draft model of the target's family"):
        match(changed(), foreign, SIZE, SIZE)


def _saved(folder: Path, model: Any, tokenizer: PreTrainedTokenizerFast) -> LoadedModel:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load(
        ModelSource(f"local/{folder.name}", folder, None, folder.name), "float32", "cpu", 2048
    )


def test_a_draft_with_other_ids_grows_the_same_trees(
    tmp_path: Path, target: LoadedModel, draft: LoadedModel
) -> None:
    """The same model with its vocabulary in another order, and other rows of padding."""
    order = order_of(5)
    model = AutoModelForCausalLM.from_pretrained(
        _saved(tmp_path / "again", draft.model, changed()).model.name_or_path
    )
    for table in (model.get_input_embeddings(), model.get_output_embeddings()):
        table.weight.data[:SIZE] = table.weight.data[order]
        table.weight.data[SIZE:] += 1
    shuffled = _saved(tmp_path / "shuffled", model, changed(order))
    runs = []
    for loaded in (draft, shuffled):
        shared = compare(target, loaded)
        runs.append(_run(loaded, shared))
    assert runs[0] == runs[1]


def _run(loaded: LoadedModel, shared: SharedVocabulary) -> list[list[int]]:
    state = DraftState(
        text_ids(10),
        272,
        3,
        8,
        Processors(1.0),
        np.random.default_rng(0),
        TreeReader(loaded, 64),
        shared,
    )
    trees = []
    with torch.inference_mode():
        for _ in range(4):
            tree = GumbelTree().propose(state)
            path = tree.path(len(tree) - 1)
            state.keep(path)
            state.ids += [tree.tokens[node] for node in path[1:]] + [60]
            trees.append(tree.tokens)
    return trees


def test_a_draft_that_spells_reads_more_tokens_than_the_target(draft: LoadedModel) -> None:
    target = changed()
    shared = match(target, changed(without=3), 272, 272)
    text = target.encode("hello hello world", add_special_tokens=False)
    state = DraftState(
        list(text),
        272,
        3,
        6,
        Processors(1.0),
        np.random.default_rng(0),
        TreeReader(draft, 64),
        shared,
    )
    with torch.inference_mode():
        for _ in range(3):
            tree = GumbelTree().propose(state)
            path = tree.path(len(tree) - 1)
            state.keep(path)
            state.ids += [tree.tokens[node] for node in path[1:]] + [text[0]]
        tree = GumbelTree().propose(state)
    spelled = shared.spelled(state.ids)
    assert len(spelled) > len(state.ids)
    with torch.inference_mode():
        logits = draft.model(torch.tensor([spelled])).logits[:, -1]
    own = Processors(1.0).soft_probs(shared.logits(logits))[0]
    torch.testing.assert_close(tree.draft_probs[0], own, rtol=1e-4, atol=1e-6)
    assert not set(tree.tokens[1:]) & {261, 262, 263}

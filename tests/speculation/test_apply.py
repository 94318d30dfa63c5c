"""Drafters and rules outside the app: ``generate`` of a plain model equals the page's run."""

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.generation.streamers import BaseStreamer

import tokenarium
from tests.models.conftest import save_model
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import BUNDLED_FOLDER, ModelSource
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.speculation.drafter import Drafter, Source
from tokenarium.backend.speculation.matrix import default_rule
from tokenarium.backend.speculation.request import DrafterSpec, SpeculateRequest
from tokenarium.backend.speculation.runner import speculate
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

TEXT = "ONCE UPON A TIME THERE WAS ONCE UPON A TIME"
SAMPLED = {"temperature": 0.9, "top_k": 40, "top_p": 0.95, "repetition_penalty": 1.1}
Plain = tuple[PreTrainedModel, PreTrainedModel, torch.Tensor]
"""Target and draft as anyone would load them, and the ids of the text."""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """A function from a family to two plain models, and the same two as a run has them."""

    @cache
    def pair(family: str) -> Any:
        folders = [BUNDLED_FOLDER / "target", BUNDLED_FOLDER / "draft"]
        if family != "bundled":
            folders = [tmp_path_factory.mktemp(name) for name in ("target", "draft")]
            for folder, layers in zip(folders, (3, 2), strict=True):
                save_model(folder, family, num_hidden_layers=layers)
        plain = [
            AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
            for folder in folders
        ]
        tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in folders]
        ours = [load(ModelSource(f.name, f, None, f.name), "float32", "cpu", 128) for f in folders]
        return plain, tokenizers, ours

    return pair


@pytest.mark.parametrize(
    ("families", "drafter", "rule", "sampling"),
    [
        (("bundled", "qwen3"), "prompt_lookup", None, {}),
        (("bundled", "gpt2"), "token_recycling", "greedy", {}),
        (("qwen3", "gpt2"), "topk_tree", "sample_and_match", SAMPLED),
        (("bundled", "gpt2"), "gumbel_tree", "recursive", SAMPLED),
        (("bundled", "qwen3"), "early_exit", "speculative_sampling", {"temperature": 1.3}),
        (("qwen3", "gpt2"), "draft_chain", "typical", {"temperature": 0.8, "min_p": 0.05}),
    ],
)
def test_generate_gives_the_tokens_of_a_run(
    pairs: Callable[[str], Any],
    families: tuple[str, ...],
    drafter: str,
    rule: str | None,
    sampling: dict[str, float],
) -> None:
    for family in families:
        check_generate(pairs(family), drafter, rule, sampling)


def check_generate(pair: Any, drafter: str, rule: str | None, sampling: dict[str, float]) -> None:
    (model, draft), tokenizers, (ours, our_draft) = pair
    uses_draft = drafter in ("topk_tree", "gumbel_tree", "draft_chain")
    asked = SpeculateRequest(
        model="target", draft_model="draft", text=TEXT, drafter=drafter, rule=rule or "greedy",
        max_new_tokens=14, draft_len=3, tree_budget=7, seed=5, plain=False,
        **({"temperature": 0.0} | sampling),
    )  # fmt: skip
    beside = {"draft": our_draft} if uses_draft else {}
    run = speculate(asked, ours, 128, lambda _: None, CancelToken(), beside)
    ids = torch.tensor([run.prompt_ids.tolist()])
    options: dict[str, Any] = {"do_sample": bool(sampling), "top_k": 0} | sampling
    with tokenarium.apply_drafter(
        drafter, model, rule=rule, draft_model=draft if uses_draft else None,
        tokenizer=tokenizers[0], draft_tokenizer=tokenizers[1],
        draft_len=3, tree_budget=7, seed=5,
    ) as speculation:  # fmt: skip
        found = model.generate(ids, max_new_tokens=14, **options)
    assert found[0, ids.shape[1] :].tolist() == run.token_ids.tolist()
    assert speculation.accepted == run.rounds["accepted_len"].tolist()
    assert speculation.drafted == run.rounds["verified"].tolist()
    assert speculation.tokens_per_target_call == run.tokens_per_target_call
    if not sampling:
        alone = model.generate(ids, max_new_tokens=14, do_sample=False)
        assert found.tolist() == alone.tolist()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Plain:
    models = []
    for name, layers in (("target", 3), ("draft", 2)):
        folder = tmp_path_factory.mktemp(name)
        save_model(folder, "llama", num_hidden_layers=layers)
        models.append(AutoModelForCausalLM.from_pretrained(folder).eval())
    return models[0], models[1], torch.tensor([[0, 40, 41, 42, 40, 41]])


def test_the_model_is_as_it_was_afterwards(tiny: Plain) -> None:
    model, _, ids = tiny
    before = model.config._attn_implementation
    with (
        pytest.raises(RuntimeError, match="mine"),
        tokenarium.apply_drafter("prompt_lookup", model),
    ):
        raise RuntimeError("mine")
    assert model.config._attn_implementation == before != "tokenarium"
    assert "generate" not in vars(model)
    with tokenarium.apply_drafter("prompt_lookup", model) as outer:
        with tokenarium.apply_drafter("token_recycling", model) as inner:
            model.generate(ids, max_new_tokens=5)
        assert inner.new_tokens == 5
        assert outer.new_tokens == 0
        model.generate(ids, max_new_tokens=4)
        assert outer.new_tokens == 4


def test_without_a_seed_torch_decides_and_calls_differ(tiny: Plain) -> None:
    model, draft, ids = tiny
    with tokenarium.apply_drafter("iid_tree", model, draft_model=draft):
        torch.manual_seed(3)
        first, second = (model.generate(ids, max_new_tokens=12, do_sample=True) for _ in range(2))
        torch.manual_seed(3)
        again = model.generate(ids, max_new_tokens=12, do_sample=True)
    assert first.tolist() == again.tolist() != second.tolist()


def test_generate_stops_streams_and_returns_as_usual(tiny: Plain) -> None:
    model, _, ids = tiny
    plain = model.generate(ids, max_new_tokens=12, do_sample=False)[0].tolist()
    end = plain[ids.shape[1] + 6]
    stopped = plain[: plain.index(end, ids.shape[1]) + 1]

    class Heard(BaseStreamer):
        def __init__(self) -> None:
            self.ids: list[int] = []
            self.ended = False

        def put(self, value: torch.Tensor) -> None:
            self.ids += value.flatten().tolist()

        def end(self) -> None:
            self.ended = True

    streamer = Heard()
    with tokenarium.apply_drafter(DrafterSpec("prompt_lookup", longest=2), model):
        found = model.generate(
            ids, max_new_tokens=12, do_sample=False, eos_token_id=end, streamer=streamer,
            return_dict_in_generate=True,
        )  # fmt: skip
    assert found.sequences[0].tolist() == streamer.ids == stopped
    assert streamer.ended


class Constant(Drafter):
    """Drafts one token again and again; not registered, having no slug."""

    title: ClassVar[str] = "Constant"
    draw: ClassVar[Draw] = "deterministic"
    source: ClassVar[Source] = "text"
    token: int = 42

    def propose(self, state: Any) -> TokenTree:
        tree = state.tree()
        tree.add(ROOT, self.token, source="constant")
        return tree


def test_a_drafter_of_ones_own_is_taken(tiny: Plain) -> None:
    model, _, ids = tiny
    plain = model.generate(ids, max_new_tokens=9, do_sample=False)
    often = plain[0, ids.shape[1] :].mode().values.item()
    with tokenarium.apply_drafter(Constant(token=often), model) as speculation:
        assert model.generate(ids, max_new_tokens=9, do_sample=False).tolist() == plain.tolist()
    assert sum(speculation.accepted) > 0
    assert set(speculation.drafted) <= {0, 1}


def test_refusals_name_what_to_change(tiny: Plain) -> None:
    model, draft, ids = tiny
    with tokenarium.apply_drafter("prompt_lookup", model):
        for words, options in (
            ("without num_beams", {"num_beams": 2, "do_sample": False}),
            ("NoRepeatNGramLogitsProcessor", {"no_repeat_ngram_size": 2}),
            ("output_scores is not available", {"output_scores": True}),
            ("leaves out tokens", {"attention_mask": torch.tensor([[0, 1, 1, 1, 1, 1]])}),
            ("assistant_model is not taken", {"assistant_model": draft}),
            ("asked for assisted", {"prompt_lookup_num_tokens": 3}),
        ):
            with pytest.raises(ValueError, match=words):
                model.generate(ids, max_new_tokens=4, **options)
        with pytest.raises(ValueError, match="2 sequences"):
            model.generate(ids.repeat(2, 1), max_new_tokens=4)
    for words, arguments in (
        ("give draft_model", {"drafter": "draft_chain"}),
        ("leave draft_model out", {"drafter": "prompt_lookup", "draft_model": draft}),
        ("draft_len=0", {"drafter": "prompt_lookup", "draft_len": 0}),
        ("is unknown: choose", {"drafter": "oracle"}),
    ):
        with (
            pytest.raises(ValueError, match=words),
            tokenarium.apply_drafter(model=model, **arguments),
        ):
            pass
    with (
        tokenarium.apply_drafter("prompt_lookup", model, rule="speculative_sampling"),
        pytest.raises(ValueError, match="choose rule sample_and_match"),
    ):
        model.generate(ids, max_new_tokens=4, do_sample=True)
    model.train()
    with (
        pytest.raises(ValueError, match=r"call model\.eval\(\) first"),
        tokenarium.apply_drafter("prompt_lookup", model),
    ):
        pass
    model.eval()


def test_default_rules_are_lossless_and_read_the_draft_where_they_can() -> None:
    chosen = {
        drafter.slug: default_rule(drafter, 1.0).slug
        for drafter in Drafter.registry.all()
        if drafter.__module__.startswith("tokenarium.backend.")
    }
    assert chosen == {
        "aded": "sample_and_match",
        "draft_chain": "speculative_sampling",
        "del": "speculative_sampling",
        "dflash": "speculative_sampling",
        "eagle3": "sample_and_match",
        "early_exit": "speculative_sampling",
        "mtp": "speculative_sampling",
        "feature_head": "speculative_sampling",
        "jacobi": "sample_and_match",
        "llmcad": "speculative_sampling",
        "kangaroo": "speculative_sampling",
        "s2d": "speculative_sampling",
        "lookup_else": "sample_and_match",
        "spec_dec_pp": "speculative_sampling",
        "iid_tree": "multi_round",
        "ngram_store": "sample_and_match",
        "stochastic_beam": "recursive",
        "gumbel_tree": "recursive",
        "dyspec": "recursive",
        "topk_tree": "sample_and_match",
        "prompt_lookup": "sample_and_match",
        "token_recycling": "sample_and_match",
        "trie_lookahead": "sample_and_match",
    }
    assert default_rule(Drafter.registry.find("dyspec"), 0.0).slug == "greedy"

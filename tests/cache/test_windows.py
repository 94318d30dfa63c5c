"""Policies inside the windows that some models' layers have."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.cache.test_engine import positions, some_ids, start
from tests.interventions import oracle
from tests.models.conftest import save_model
from tokenarium.backend.cache.acting import refuse_nowhere, where_it_acts
from tokenarium.backend.cache.budget import CacheSizes, tokens_per_head
from tokenarium.backend.cache.head_roles import head_roles
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource

INSIDE = [
    kind
    for kind in Policy.registry.all()
    if kind.__module__.startswith("tokenarium.backend.") and kind().acts_within(64, 12)
]
SLUGS = {policy.slug for policy in INSIDE}


@pytest.fixture(scope="module")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[LoadedModel, Any]]:
    """A function from a window, or None, to the same weights with it."""
    made: dict[int | None, tuple[LoadedModel, Any]] = {}

    def model(window: int | None) -> tuple[LoadedModel, Any]:
        if window not in made:
            folder = tmp_path_factory.mktemp("mistral")
            save_model(folder, "mistral", sliding_window=window)
            twin = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
            source = ModelSource("local/m", folder, None, "m")
            made[window] = load(source, "float32", "cpu", 2048), twin.float().eval()
        return made[window]

    return model


def test_what_evicts_acts_in_windows_and_nothing_else() -> None:
    assert {"recent", "streaming_llm", "h2o", "tova", "snapkv", "adakv", "sirllm"} <= SLUGS
    assert not SLUGS & {"full", "token_select", "tidal_decode", "lm_infinite", "prompt_distill"}


@pytest.mark.parametrize("policy", INSIDE, ids=lambda policy: policy.slug)
def test_a_window_longer_than_the_text_changes_nothing(
    mistral, policy: type[Policy], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The text by which heads are probed is longer than the window: the roles of one are both's.
    roles = head_roles(mistral(None)[0], "probe")
    monkeypatch.setattr("tokenarium.backend.cache.engine.head_roles", lambda *_: roles)
    runs = []
    for window in (None, 64):
        loaded, _ = mistral(window)
        sequence = start(loaded, policy.slug, 12)
        logits = [sequence.read(some_ids(40))]
        logits += [sequence.read([token]) for token in some_ids(5, 1)]
        logits.append(sequence.read(some_ids(4, 2)))
        held = [positions(sequence, layer, g) for layer in range(3) for g in range(2)]
        runs.append((held, torch.stack(logits)))
        assert all(cache.acts for cache in sequence.layers)
    assert runs[0][0] == runs[1][0]
    scale = float(runs[0][1].abs().max())
    torch.testing.assert_close(runs[0][1], runs[1][1], rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("slug", ["h2o", "tova", "snapkv", "adakv", "knorm", "recent"])
def test_what_is_left_of_a_window_is_attended_to(mistral, slug: str) -> None:
    """Against full matrices in which what was dropped is hidden, a turn of several tokens too."""
    window, prompt, more = 16, some_ids(40), some_ids(9, 1)
    loaded, twin = mistral(window)
    sequence = start(loaded, slug, 6)
    sequence.read(prompt)
    visible = torch.ones(3, 2, 49, 49).tril().bool()

    def hide() -> None:
        for dropped in sequence.dropped:
            for g, gone in enumerate(dropped.positions):
                visible[dropped.layer, g, sequence.seen :, gone.long()] = False
        sequence.dropped.clear()

    hide()
    found = []
    for part in (more[:1], more[1:2], more[2:6], more[6:7], more[7:]):
        found.append(sequence.read_each(part))
        hide()
        for cache in sequence.layers:
            for g in range(2):
                assert min(positions(sequence, cache.layer, g)) > sequence.seen - window
    assert any(len(set(positions(sequence, 1, g))) < window - 1 for g in range(2))

    def edit(module, weights, q, k):
        seen = weights * visible[module.layer_idx].repeat_interleave(2, 0)
        return seen / seen.sum(-1, keepdim=True)

    expected = torch.from_numpy(oracle.run(twin, prompt + more, edit).log_p[40:])
    torch.testing.assert_close(
        torch.cat(found).double().log_softmax(-1), expected, atol=2e-4, rtol=0
    )


def test_it_says_where_a_policy_acts_and_refuses_what_acts_nowhere() -> None:
    h2o, select = (Policy.registry.find(slug)() for slug in ("h2o", "token_select"))
    some, every = (16, None, 16, None), (16, 16, 16)
    assert where_it_acts(h2o, 14, some, 40) == ""
    words = where_it_acts(h2o, 15, some, 40)
    assert words.startswith("acts in 2 of 4 layers: queries of the others see a window of 16")
    assert words.endswith("a budget below 15 would reduce them")
    assert where_it_acts(select, 4, some, 40).endswith("it leaves them alone")
    refuse_nowhere(h2o, 15, some, 40)
    refuse_nowhere(h2o, 14, every, 40)
    with pytest.raises(ValueError, match=r"budget=15 .*H2O acts in 0 of 3 layers"):
        refuse_nowhere(h2o, 15, every, 40)


def test_megabytes_are_those_of_the_layers_that_keep_to_the_budget() -> None:
    sizes = CacheSizes(layers=4, windowed=2, entry_bytes=100, window=16)
    assert tokens_per_head(0.004, "megabytes", 40, sizes) == 10  # in all four layers
    assert tokens_per_head(0.008, "megabytes", 40, sizes) == 40  # in two; the others hold 15

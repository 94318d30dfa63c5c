"""Parts cut out against hooks on transformers' own class, and the check of the heads."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.patching.conftest import kept, logits_of
from tokenarium.backend.ablation.request import AblateRequest
from tokenarium.backend.ablation.result import AblateResult
from tokenarium.backend.ablation.runner import ablate
from tokenarium.backend.attribution.replacing import replacements
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.events import CancelToken

TEXT = "ABCDT"


def run(loaded: LoadedModel, **given: Any) -> AblateResult:
    request = AblateRequest(model="tiny", text=TEXT, **given)
    return ablate(request, loaded, 2048, lambda _: None, CancelToken())


@pytest.mark.parametrize(
    ("family", "ablation"), [("llama", "resample"), ("gpt2", "mean"), ("gemma2", "zero")]
)
def test_every_part_is_what_hooks_apart_find(twins: Any, family: str, ablation: str) -> None:
    loaded, oracle = twins(family)
    result = run(loaded, ablation=ablation, draws=2, against="U")
    ids = result.token_ids.tolist()[:-1]
    layers = range(len(loaded.layers))
    whole = logits_of(oracle, ids)
    own = kept(oracle, ids, len(layers))
    added = np.isin(ids, loaded.tokenizer.all_special_ids)
    drawn = replacements(loaded, ids, 0, range(2))
    texts = [np.where(added, ids, row).tolist() for row in drawn]
    for draw in range(len(result.mlp_nats)):
        others = kept(oracle, texts[draw], len(layers)) if ablation == "resample" else own

        def instead(part: Any, others: Any = others) -> torch.Tensor:
            if ablation == "resample":
                return others[part]
            return own[part].mean(0).expand_as(own[part]) * (ablation == "mean")

        def fall(*parts: Any, given: Any = None, instead: Any = instead) -> float:
            found = logits_of(oracle, ids, given or {part: instead(part) for part in parts})
            at = [result.target_id, result.against_id]
            return float((whole[at[0]] - whole[at[1]]) - (found[at[0]] - found[at[1]]))

        for layer in {1, layers[-1]}:
            attention, mlp = ("attention", layer), ("mlp", layer)
            assert result.attention_nats[draw, layer] == pytest.approx(fall(attention), abs=2e-4)
            assert result.mlp_nats[draw, layer] == pytest.approx(fall(mlp), abs=2e-4)
            assert result.layer_nats[draw, layer] == pytest.approx(fall(attention, mlp), abs=2e-4)
            heads = instead(("heads", layer))
            for head, new in enumerate(heads.chunk(result.head_nats.shape[2], -1)):
                size = new.shape[-1]
                given = torch.full_like(heads, torch.nan)
                given[:, head * size : (head + 1) * size] = new
                expected = fall(given={("heads", layer): given})
                assert result.head_nats[draw, layer, head] == pytest.approx(expected, abs=2e-4)


def test_the_check_cuts_the_highest_heads_together(twins: Any) -> None:
    loaded, oracle = twins("llama")
    result = run(loaded, top=3, ablation="zero")
    ids = result.token_ids.tolist()[:-1]
    best = np.argsort(-result.head_nats[0].ravel(), kind="stable")[:3]
    heads = result.head_nats.shape[2]
    instead: dict[Any, torch.Tensor] = {}
    for layer, head in zip(*np.divmod(best, heads), strict=True):
        wide = kept(oracle, ids, len(loaded.layers))["heads", 0]
        size = wide.shape[-1] // heads
        at = instead.setdefault(("heads", int(layer)), torch.full_like(wide, torch.nan))
        at[:, head * size : (head + 1) * size] = 0
    without = logits_of(oracle, ids, instead)[result.target_id]
    assert result.check_k == 3
    assert result.check_drop_nats == pytest.approx(result.value_nats - float(without), abs=2e-4)
    assert len(result.check_random_nats) == 20
    assert 1 / 21 <= result.check_p <= 1
    assert result.faithfulness.verdict == result.verdict
    assert run(loaded).check_k == max(1, round(result.head_nats[0].size / 20))

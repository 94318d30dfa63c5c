"""The section that edits a token: what it asks for, and what it shows of a run."""

from typing import Any

import numpy as np

from tests.editing.test_editing import run
from tokenarium.ui.components.edited import edited_sentence, edited_table
from tokenarium.ui.figures.editing import cost_of_edit, errors_of_edit
from tokenarium.ui.why.number import unmarked


def test_it_shows_every_cache_and_the_edited_place(twins: Any) -> None:
    result = run(twins("llama")[0], [(3, 4, "<b>"), (9, 12, "")])
    told = edited_table(result)
    assert "AB<b>&lt;</b><b>b</b><b>&gt;</b>DEFGH" in told
    assert told.index("Read anew") < told.index("keys turned (PIE)")
    assert f"{float(result.kl_nats[2].mean()):.4f}" in told
    assert "Splicing read 4 tokens instead of" in unmarked(edited_sentence(result))
    cost = cost_of_edit(result)
    assert [trace.name for trace in cost.data] == list(result.titles)
    np.testing.assert_allclose(cost.data[3].y, result.kl_nats[3])
    keys, unturned, values = errors_of_edit(result).data
    np.testing.assert_allclose(keys.y, result.key_error[1])
    np.testing.assert_allclose(unturned.y, result.key_error[2])
    np.testing.assert_allclose(values.y, result.value_error[1])

"""The table of families: what it is made from, and that it is up to date."""

import re
from pathlib import Path

import pytest
import transformers

from tests.families.building import causal_types, small_config
from tests.families.measuring import measure
from tests.families.table import PAGE, README, write
from tokenarium.backend.models.other_kinds import refuse_other_kinds
from tokenarium.backend.models.refusal import ModelRefused


def test_a_family_that_loads_equals_eager_within_the_tolerance():
    found = measure("llama")
    assert found["verdict"] == "loads"
    assert max(found["trace"], found["full"]) < 1e-4
    assert found["streaming_llm"] == found["h2o"] == "ok"
    assert found["prompt_lookup"] == found["early_exit"] == "passed"


def test_a_family_that_is_no_decoder_is_refused_with_the_reason():
    assert measure("bert")["verdict"] == "refused"


def test_a_state_that_texts_share_is_found_and_refused_for_a_cache():
    found = measure("recurrent_gemma")  # keeps it in its modules, not in the cache
    assert found["trace"] < 1e-4
    assert "does not go on from the state" in found["full"]


def test_layers_that_attend_and_keep_a_state_are_cached_exactly():
    found = measure("falcon_h1")
    assert max(found["trace"], found["full"]) < 1e-4
    assert found["streaming_llm"] == found["h2o"] == "ok"


def test_attention_that_layers_share_is_seen_in_each_of_them():
    assert measure("zamba2")["trace"] < 1e-4


def test_parts_for_sound_that_take_no_sdpa_and_have_infinite_bounds_leave_the_text_readable():
    found = measure("gemma4")
    assert max(found["trace"], found["full"]) < 1e-4


def test_layers_of_both_kinds_are_built():
    assert set(small_config("gemma3_text").layer_types) == {"sliding_attention", "full_attention"}


def test_the_table_writes_a_long_reason_once(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.families.table.PAGE", tmp_path / "page.md")
    monkeypatch.setattr("tests.families.table.README", tmp_path / "readme.md")
    marks = "<!-- make families -->\nold\n<!-- /make families -->\n"
    (tmp_path / "readme.md").write_text(f"before\n{marks}after\n")
    columns = ("trace", "full", "streaming_llm", "h2o", "prompt_lookup", "early_exit")
    loads = dict.fromkeys(columns, "refused: no | rotation") | {"verdict": "loads", "why": ""}
    write({"a": loads, "b": loads, "c": {"verdict": "refused", "why": "of <kind>"}}, "1.2")
    page = (tmp_path / "page.md").read_text()
    assert page.count("no \\| rotation") == 1
    assert "| c | refused | of &lt;kind> |" in page
    assert "| loads, equal to eager within 1e-4 | 2 |" in page
    readme = (tmp_path / "readme.md").read_text()
    assert "Of the 3 causal types of transformers 1.2, 2 load" in readme
    assert "old" not in readme
    assert readme.startswith("before\n<!--")
    assert readme.endswith("-->\nafter\n")


def test_the_committed_table_has_every_type_of_its_version_and_nothing_wrong():
    page = Path(PAGE).read_text(encoding="utf-8")
    assert "| wrong | 0 |" in page
    assert "| raw error | 0 |" in page
    figures = re.search(r"(\d+) load and equal .* (\d+) are refused", README.read_text(), re.DOTALL)
    assert f"| loads, equal to eager within 1e-4 | {figures[1]} |" in page
    assert f"| refused, with the reason | {figures[2]} |" in page
    if f"of transformers {transformers.__version__} takes" in " ".join(page.split()):
        listed = set(re.findall(r"^\| ([\w-]+)(?: \(.*\))? \|", page, re.MULTILINE))
        assert set(causal_types()) <= listed


def test_streams_that_stand_one_after_another_are_called_several():
    found = measure("qwen4_exp_text")
    assert found["verdict"] == "refused"
    assert "several residual streams side by side" in found["why"]


def test_a_text_part_that_was_saved_by_itself_is_called_one():
    assert "a part of a larger model saved by itself" in measure("mllama")["why"]


def test_layers_that_read_an_image_are_named():
    with pytest.raises(ModelRefused, match="some of whose layers read an image and are left out"):
        refuse_other_kinds(small_config("mllama"), "m")

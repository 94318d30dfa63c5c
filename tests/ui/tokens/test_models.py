"""What the Tokens page asks a model: scores, next bytes, letters, new tokens."""

from tests.ui.tokens.asking import TARGET, ask, bars, finished, said
from tokenarium.backend import Lab


def test_segmentations_are_scored_and_shown_by_word(lab: Lab) -> None:
    found = finished(
        lab, "score", text="The old king.", model=TARGET, segmenters=["native", "bytes"]
    )
    assert "Single bytes" in found["html"]
    native, single = found["words"]["rows"]
    assert found["words"]["words"] == ["The", "old", "king."]
    assert single["cuts"][0] == "T|h|e"
    assert sum(single["nats"]) > sum(native["nats"])
    assert lab.open(found["run"]).request.model == TARGET
    assert "vectors read" not in found["html"]


def test_dynamic_merges_are_scored_at_steps_and_cut_where_units_end(lab: Lab) -> None:
    text = "The seaweed and the seawater."
    found = finished(
        lab, "score", text=text, model=TARGET, segmenters=["dynamic_merges", "whole_words"]
    )
    rows = {row["title"]: row for row in found["words"]["rows"]}
    assert [*rows] == [
        "Native", "Dynamic merges (share=0.25)", "Dynamic merges", "Dynamic merges (share=0.75)",
        "Whole words, merged",
    ]  # fmt: skip
    assert "vectors read" in found["html"]
    assert "more at the first token of a unit" in found["html"]
    assert any("|" in cut for cut in rows["Native"]["cuts"])
    assert rows["Whole words, merged"]["cuts"] == ["The", "seaweed", "and", "the", "seawater|."]


def test_next_bytes_are_shown_with_the_finding(lab: Lab) -> None:
    found = finished(lab, "byte", prefix="Once upon a ti", model=TARGET)
    assert bars(found)[0][0] == "“m”"
    assert said(found).startswith("After the bytes the likeliest is “m” at ")
    assert "Where the token begins" in found["html"]


def test_letters_are_asked_for_beside_the_usual_answer(lab: Lab) -> None:
    found = finished(lab, "letters", words="planet, letter", model=TARGET, task="count")
    assert said(found).startswith("bundled/target prefers the right answer to ")
    assert "always saying " in said(found)
    assert found["html"].count("<tr>") == 5


def test_a_tokenizer_is_extended_by_another_language_and_the_model_asked(lab: Lab) -> None:
    begun = ask(lab, "extended")
    assert (begun["language"], begun["merges"]) == ("pt", 500)
    more = {"corpus": begun["corpus"], "merges": 60, "tokenizer": TARGET}
    found = ask(lab, "extended", run=True, **more)
    made = lab.tokenizers.extend(TARGET, begun["corpus"], 60)
    own = next(each for each in made.languages if each.text.code == "pt")
    assert f"Portuguese goes from {own.before} to {own.after} tokens" in found["said"]
    changed = [each for each in made.languages if each.after < each.before]
    assert 3 < len(changed) < 20
    assert found["html"].count("<tr>") == 2 + len(changed)
    assert f"{len(made.languages) - len(changed) - 1} other languages stay" in found["html"]
    assert found["name"] == made.name
    for _ in range(200):
        priced = ask(lab, "extended", **more, run="price", model=TARGET, most=6)
        if "busy" not in priced:
            break
    assert "6 new tokens</button> the text goes from " in priced["price"]["said"]
    assert "Mean of pieces" in priced["price"]["html"]
    assert "stands twice" in ask(lab, "extended", run=True, **{**more, "corpus": "a"})["error"]


def test_new_tokens_are_swapped_in_and_the_best_rows_named(lab: Lab) -> None:
    assert {slug for slug, _, _ in ask(lab, "added")["methods"]} >= {"token_adapt", "random_row"}
    passage = "The seaweed and the seawater saw seaweed."
    found = finished(lab, "added", passage=passage, model=TARGET, words="seaweed")
    assert said(found).startswith("With 1 new token the text goes from ")
    assert "Mean of pieces" in said(found)
    assert "sea|we|ed" in found["html"]
    typed = finished(
        lab, "added", passage=passage, model=TARGET, words="seaweed", initialisers=["typed_terms"]
    )
    assert "the best of 1" in typed["said"]
    assert "Semantic type" in typed["html"]
    usual = ask(lab, "added")["usual"]
    assert usual == ["token_adapt", "mean_of_pieces", "random_row"]
    same = ask(lab, "added", run=True, passage=passage, model=TARGET, words="seaweed",
               initialisers=usual[::-1])  # fmt: skip
    assert same["run"] == found["run"]
    wrong = finished(lab, "added", passage=passage, model=TARGET, words="fish")
    assert "which is no word of the text" in wrong["error"]
    again = ask(lab, "added", open=found["run"])
    assert {**again, "about": ""} == {**found, "about": ""}
    assert (again["passage"], again["words"], again["model"]) == (passage, "seaweed", TARGET)
    native, *rows = (nats for _, [nats] in bars(found))
    result = lab.open(found["run"]).result
    assert rows == [f"{nats:.3f}" for nats in result.nats_per_byte]
    assert native == f"{result.native_nats_per_byte:.3f}"


def test_the_view_of_new_tokens_opens_with_its_example(lab: Lab) -> None:
    (example,) = lab.examples("new_tokens")
    found = ask(lab, "added")
    assert found["run"] == example.run_id
    assert found["passage"] == example.request.text
    assert found["about"].endswith(example.teaser)
    assert len(bars(found)) == 4
    other = ask(lab, "added", open=lab.examples("trace")[0].run_id)
    assert "is not of new tokens" in other["error"]
    assert "is not stored" in ask(lab, "added", open="nowhere<b>")["error"]

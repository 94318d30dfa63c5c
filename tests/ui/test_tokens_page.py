"""What the Tokens page answers: cuts that stand under one another, languages, costs, next bytes."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.labs import shipped_store
from tests.tokenization.toys import state_of_bpe
from tokenarium.backend import Lab, Settings, TokenizeRequest
from tokenarium.ui.tokens import apart
from tokenarium.ui.tokens.answer import answer
from tokenarium.ui.tokens.cuts import strip_of
from tokenarium.ui.why.number import unmarked

TARGET = "bundled/target"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    settings = Settings(database=shipped_store(), device="cpu", hosted=False, fetch=False)
    with Lab(settings) as made:
        yield made


@pytest.fixture(autouse=True)
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is computed without a run is waited for: ``test_a_view_that_computes`` asks again."""
    monkeypatch.setattr(apart, "WAIT_S", 60)


@pytest.fixture(scope="module")
def letters(lab: Lab) -> str:
    alphabet = "abcdefghijklmnopqrstuvwxyzĠĊ<>/${}" + "".join(map(chr, range(0xA1, 0x100)))
    return lab.tokenizers.give(state_of_bpe([("a", "b")], alphabet), "letters.json").name


def ask(lab: Lab, do: str, **more: Any) -> dict[str, Any]:
    return answer(lab, {"do": do, "with": [TARGET], **more})


def finished(lab: Lab, do: str, **more: Any) -> dict[str, Any]:
    for _ in range(200):
        found = ask(lab, do, run=True, **more)
        if "busy" not in found:
            return found
    raise AssertionError(found)


def said(found: dict[str, Any]) -> str:
    """Return the finding as it is read."""
    return re.sub("<[^>]+>", "", found["said"])


def bars(found: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return names and numbers of the bars."""
    table = found["html"].partition('class="tk-cuts-bars"')[2].partition("</table>")[0]
    rows = [row for row in table.split("<tr>") if 'scope="row"' in row]
    named = [re.search(r'scope="row">([^<]*)<', row) for row in rows]
    numbers = [re.findall(r"<span>([^<]*)</span>", unmarked(row)) for row in rows]
    return [(name[1], n) for name, n in zip(named, numbers, strict=True) if name]


def strip(lab: Lab, text: str, *names: str) -> dict[str, Any]:
    request = TokenizeRequest(text=text, tokenizers=names)
    result = lab.tokenizers.tokenize(request)
    return strip_of(result, text, [lab.tokenizers.get(name) for name in names])


def test_every_row_of_the_strip_says_the_text(lab: Lab, letters: str) -> None:
    text = "abba naïve\n the 🙂 end "
    found = strip(lab, text.replace("🙂", "é"), TARGET, letters)
    for row in range(2):
        said = "".join(cell[0] for block in found["blocks"] for cell in block[row])
        assert said == text.replace("🙂", "é").replace("\n", "⏎")
        tokens = [n for block in found["blocks"] for _, a, b in block[row] for n in range(a, b)]
        assert tokens == list(range(len(found["rows"][row]["tokens"])))


def test_blocks_end_where_all_cut_and_words_stay_whole(lab: Lab, letters: str) -> None:
    found = strip(lab, "the old king", TARGET, letters)
    assert ["".join(cell[0] for cell in block[0]) for block in found["blocks"]] == [
        "the",
        " old",
        " king",
    ]
    assert [cell[0] for cell in found["blocks"][0][1]] == ["t", "h", "e"]


def test_tokens_of_one_character_share_a_cell(lab: Lab) -> None:
    found = strip(lab, "🙂", TARGET)
    assert found["blocks"] == [[[["🙂", 0, 4]]]]
    ids = [token[1] for token in found["rows"][0]["tokens"]]
    assert ids == ["f0", "9f", "99", "82"]


def test_the_page_says_which_takes_more(lab: Lab, letters: str) -> None:
    found = answer(lab, {"do": "cut", "with": [TARGET, letters], "text": "the old king"})
    assert said(found) == (
        "12 bytes: 3 tokens under Bundled target, 12 under letters.json: 4.00 times as many."
    )
    assert "12 characters, 12 bytes, 3 words" in unmarked(found["counts"])
    assert "ByteLevel" in found["steps"]


def test_premiums_are_ratios_of_counts_and_one_against_itself(lab: Lab) -> None:
    found = {text.code: (text, premium) for text, premium in lab.tokenizers.premiums(TARGET, "de")}
    assert len(found) >= 24
    assert len({text.script for text, _ in found.values()}) >= 8
    german, english = found["de"][1], found["en"][1]
    assert (german.value, german.low, german.high) == (1, 1, 1)
    assert english.value == english.tokens / german.tokens
    assert english.low < english.value < english.high < 1
    by_hand = lab.tokenizers.get(TARGET).engine.encode(list(found["de"][0].sentences))
    assert german.tokens == sum(map(len, by_hand))


def test_a_language_that_is_left_out_has_no_premium(lab: Lab) -> None:
    latin = "".join(map(chr, range(0x21, 0x7F))) + "Ġ"
    name = lab.tokenizers.give(state_of_bpe([], latin), "latin.json").name
    found = answer(lab, {"do": "languages", "with": [name]})
    assert "left out" in found["html"]
    against = answer(lab, {"do": "languages", "with": [name], "against": "th"})
    assert "leaves out characters" in against["error"]


def test_languages_say_price_and_memory(lab: Lab) -> None:
    html = ask(lab, "languages", against="de", rate=2)["html"]
    assert "premium to German" in html
    # 4 layers of 2 heads of 64 numbers, keys and values, two bytes each
    assert lab.tokenizers.kv_bytes_per_token(TARGET) == kv_bytes(lab)
    tamil = next(p for t, p in lab.tokenizers.premiums(TARGET, "de") if t.code == "ta")
    assert f"{2 * tamil.tokens / 1e3:,.2f}" in html


def kv_bytes(lab: Lab) -> int:
    from tokenarium.backend.settings import PROJECT

    config = json.loads((PROJECT / "assets/models/target/config.json").read_text())
    head = config["hidden_size"] // config["num_attention_heads"]
    return int(config["num_hidden_layers"] * config["num_key_value_heads"] * head * 4)


def test_merges_are_played_from_bytes_to_tokens(lab: Lab) -> None:
    steps = ask(lab, "merges", word="the king", tokenizer=TARGET)["merges"]
    assert steps[0] == ["t", "h", "e", "·", "k", "i", "n", "g"]
    assert steps[-1] == ["the", " king"]
    assert [len(step) for step in steps] == list(range(len(steps[0]), 1, -1))


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


@pytest.mark.parametrize(
    ("do", "more", "words"),
    [
        ("cut", {"with": ["no/such"]}, "is not on this machine"),
        ("give", {"state": "no", "title": "x"}, "is no tokenizer.json"),
        ("merges", {"tokenizer": "given/none"}, "is not here any more"),
        ("score", {"run": True, "text": "a", "model": "no/such"}, "no/such"),
        ("letters", {"run": True, "words": " , ", "model": TARGET}, "words is empty: give 1 to 64"),
    ],
)
def test_errors_are_said(lab: Lab, do: str, more: dict[str, Any], words: str) -> None:
    assert words in ask(lab, do, **more)["error"]


@pytest.mark.parametrize("do", ["score", "byte", "letters", "added"])
def test_a_refused_view_says_what_can_be_asked(lab: Lab, do: str) -> None:
    form = ask(lab, do)
    refused = ask(lab, do, run=True, text="a", passage="oaks", words="oak", model="no/such")
    assert "no/such" in refused.pop("error")
    assert refused == form
    assert TARGET in refused["models"]


@pytest.mark.parametrize(("do", "name"), [("byte", "prefix"), ("added", "passage")])
def test_an_emptied_field_is_no_example(lab: Lab, do: str, name: str) -> None:
    found = finished(lab, do, model=TARGET, **{name: ""})
    assert "error" in found


@pytest.mark.parametrize("sent", [None, 5, "x", [], {}, [None, {"a": 1}]])
def test_whatever_a_browser_sends_is_answered(lab: Lab, sent: Any) -> None:
    for do in ("cut", "languages", "merges", "give", "score", "byte", "cancel", sent):
        for key in ("with", "text", "against", "rate", "word", "segmenters", "run", "prefix"):
            found = answer(lab, {"do": do if isinstance(do, str) else None, key: sent})
            assert found["answer"]


def test_text_of_a_visitor_is_escaped(lab: Lab) -> None:
    found = ask(lab, "cut", text="<script>${alert(1)}{{x}}")
    assert "<script>" not in found["counts"] + found["steps"]


def test_a_tokenizer_is_trained_and_used(lab: Lab) -> None:
    corpus = "the old king and the old queen. " * 20
    found = ask(lab, "train", run=True, corpus=corpus, kind="bpe", size=280, text="the old king")
    assert "274 entries, 18 merges" in re.sub("<[^>]+>", "", unmarked(found["html"]))
    assert "as the vocabulary grows" in found["html"]
    again = answer(lab, {"do": "cut", "with": [found["name"]], "text": "the old king"})
    assert again["strip"]["rows"][0]["title"] == "BPE 280"
    assert "size=5" in ask(lab, "train", run=True, corpus=corpus, kind="bpe", size=5)["error"]


def test_lib_is_trained_beside_bpe_and_says_its_epochs(lab: Lab) -> None:
    corpus = "the old king and the old queen. " * 20
    more = {"run": True, "corpus": corpus, "size": 280, "words": False}
    found = ask(lab, "train", kind="lib", text="the old king <b>", **more)
    made = lab.tokenizers.get(found["name"])
    other = lab.tokenizers.train(corpus, "bpe", len(made.entries), words=False)
    [mine], [theirs] = (each.engine.encode(["the old king <b>"]) for each in (made, other))
    said = re.sub("<[^>]+>", "", found["html"])
    assert f"{len(mine)} tokens under it and {len(theirs)} under BPE of" in said
    assert found["html"].count("<tr>") == 1 + len(lab.tokenizers.epochs(made.name))
    again = answer(lab, {"do": "cut", "with": [made.name], "text": "the old king"})
    assert again["strip"]["rows"][0]["title"] == "LiB 280, beyond words"
    assert "LiB, byte-level" in again["steps"]


def test_letters_are_asked_for_beside_the_usual_answer(lab: Lab) -> None:
    found = finished(lab, "letters", words="planet, letter", model=TARGET, task="count")
    assert said(found).startswith("bundled/target prefers the right answer to ")
    assert "always saying " in said(found)
    assert found["html"].count("<tr>") == 5


def test_the_training_text_is_inferred_from_samples_and_own_texts(lab: Lab) -> None:
    begun = ask(lab, "mixture")
    assert begun["usual"] == ["English", "Python", "JavaScript"]
    assert {"English", "German"} <= {name for name, _ in begun["samples"]}
    own = [{"title": "<b>", "text": "zz qq zz. qq zz qq."}, {"title": "<b>", "text": "vv ww."}, 5]
    more = {"samples": ["English", "German", "none"], "own": own, "merges": 40}
    found = ask(lab, "mixture", run=True, tokenizer=TARGET, **more)
    assert "the first 40 merges of Bundled target fit best to a training text of English" in said(
        found
    )
    names = [name for name, _ in bars(found)]
    assert names == ["English", "German", "&lt;b&gt;", "&lt;b&gt; 2"]
    assert sum(float(share[:-1]) for _, [share] in bars(found)) == pytest.approx(100, abs=0.2)
    assert "<b>" not in found["html"]
    assert "few bytes, so uncertain: German" in found["notes"][0]
    alone = ask(lab, "mixture", run=True, tokenizer=TARGET, samples=["English"])
    assert "1 samples are given: choose from 2 to 8" in alone["error"]


def test_a_training_text_that_is_not_among_the_samples_is_said(lab: Lab, letters: str) -> None:
    # The merge a b stands in the first text only, far behind e e; the second has no pairs at all.
    own = [{"title": "x", "text": "ab" + "ee" * 50}, {"title": "y", "text": "f"}]
    found = ask(lab, "mixture", run=True, tokenizer=letters, own=own)
    assert "y 100%" in said(found)
    note = unmarked(found["notes"][0])
    assert "only 0% of these merges stand in a sample that has a share" in note


def test_premiums_are_drawn_as_the_vocabulary_grows(lab: Lab) -> None:
    assert ask(lab, "sizes")["against"] == "en"
    found = ask(lab, "sizes", run=True, tokenizer=TARGET)
    drawn = json.loads(found["figure"])
    tamil = next(line for line in drawn["data"] if line["name"] == "Tamil")
    premium = next(p for t, p in lab.tokenizers.premiums(TARGET, "en") if t.code == "ta")
    assert len(drawn["data"]) == 8
    assert tamil["y"][-1] == pytest.approx(premium.value)
    assert tamil["error_y"]["array"][-1] == pytest.approx(premium.high - premium.value)
    assert f"({premium.low:.2f} to {premium.high:.2f}), the most of 29 languages" in said(found)
    assert found["html"].count("<tr>") == 30


def test_each_language_is_trained_on_a_file_that_is_named_by_it(lab: Lab) -> None:
    texts = {"de.txt": "der alte Mann und das Meer. " * 90, "English.txt": "the old man. " * 200}
    own = [{"title": title, "text": text} for title, text in texts.items()]
    found = ask(lab, "sizes", run=True, source="train", own=own, size=300)
    assert "as few tokens as English has with" in said(found)
    assert {line["name"] for line in json.loads(found["figure"])["data"]} == {"English", "German"}
    other = ask(lab, "sizes", run=True, source="train", own=[*own, {"title": "x<b>", "text": "a"}])
    assert "name each file by it" in other["error"]


def test_a_domain_is_compared_on_text_that_none_was_trained_on(lab: Lab) -> None:
    begun = ask(lab, "domain")
    assert begun["usual"] == ["Python", "English"]
    assert {name for name, _ in begun["samples"]} == {"English", "Python", "JavaScript"}
    law = "".join(
        f"The lessee shall, {n}, indemnify the lessor <b> hereunder.\n" for n in range(90)
    )
    own = [{"title": "law.txt", "text": law}]
    more = {"run": True, "domain": "law.txt", "general": "English", "own": own, "size": 500}
    found = ask(lab, "domain", noise="typed", share=5, **more)
    texts = {"law.txt": law, "English": lab.tokenizers.samples()[0].text}
    result = lab.tokenizers.domain(texts, 500, noise="typed", share=0.05, beside=[TARGET])
    mine = result.ratios[0]
    assert f"takes {mine.value:.2f} times as many tokens as that of English" in found["said"]
    assert f"What {result.noise[0].errors} errors change in held-out law.txt" in found["html"]
    assert found["html"].count("Bundled target") == 2
    assert "<b>" not in found["html"]
    assert [name for name, _ in found["made"]] == list(result.tokenizers[:3])
    assert "both texts are" in ask(lab, "domain", **{**more, "domain": "English"})["error"]
    assert "is no text here" in ask(lab, "domain", **{**more, "domain": "<b>x"})["error"]


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


@pytest.mark.parametrize(
    "do", ["score", "byte", "letters", "mixture", "sizes", "domain", "added", "train"]
)
def test_a_form_is_whole_beside_an_error(lab: Lab, do: str) -> None:
    wrong = {"text": "a", "model": "no/such", "tokenizer": "no/such", "corpus": "", "prefix": "a"}
    found = ask(lab, do, run=True, passage="a", words="planet", **wrong)
    assert found.pop("error")
    assert found.keys() >= ask(lab, do).keys()


def test_a_turkish_text_is_counted_beside_its_own_words(lab: Lab, letters: str) -> None:
    found = answer(lab, {"do": "turkish", "with": [TARGET, letters]})
    assert found["html"].count("<tr>") == 1 + 3
    assert "the words themselves, uncut" in found["html"]
    assert "wrote themselves: small" in found["notes"]
    own = ask(lab, "turkish", source="own", text="The <b>king</b> saw it.")
    assert "too few to say" in own["said"]
    assert "Unknown of this text: the, b, king, saw." in own["notes"]
    assert "has no letters" in ask(lab, "turkish", source="own", text="12 !")["error"]


def test_a_view_that_computes_for_long_is_asked_again_and_cancelled(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "WAIT_S", 0)
    asked = {"tokenizer": TARGET, "samples": ["English", "Python"], "merges": 20, "run": True}
    begun = ask(lab, "mixture", **asked)
    assert begun["samples"]
    assert "said" not in begun
    monkeypatch.setattr(apart, "WAIT_S", 60)
    assert "share" in ask(lab, "mixture", run=True, busy=begun["busy"])["html"]
    monkeypatch.setattr(apart, "WAIT_S", 0)
    begun = ask(lab, "mixture", **{**asked, "merges": 1_000})
    assert "error" not in ask(lab, "cancel", run=begun["busy"])
    monkeypatch.setattr(apart, "WAIT_S", 60)
    ended = ask(lab, "mixture", run=True, busy=begun["busy"])
    assert "cancelled" in ended["error"]
    assert ended["samples"]
    assert "no longer here" in ask(lab, "sizes", run=True, busy="x")["error"]


@pytest.mark.parametrize(
    ("do", "more"),
    [
        ("domain", {"domain": "Python", "general": "English", "size": 300}),
        ("extended", {"tokenizer": TARGET, "corpus": "a informação da nação " * 40}),
        ("sizes", {"tokenizer": TARGET}),
        ("train", {"corpus": "the old king saw the sea. " * 200, "kind": "lib", "size": 300}),
    ],
)
def test_domain_languages_curves_and_lib_are_cancelled_and_keep_their_form(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, do: str, more: dict[str, Any]
) -> None:
    monkeypatch.setattr(apart, "WAIT_S", 0)
    begun = ask(lab, do, run=True, **more)
    assert begun["doing"] == "computing"
    assert "error" not in ask(lab, "cancel", run=begun["busy"])
    monkeypatch.setattr(apart, "WAIT_S", 60)
    ended = ask(lab, do, run=True, busy=begun["busy"])
    assert "cancelled" in ended["error"]
    assert ended.keys() >= ask(lab, do).keys()
    assert "said" not in ended

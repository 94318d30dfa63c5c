"""What the Tokens page trains and infers: tokenizers, mixtures, curves, domains."""

import json
import re

import pytest

from tests.ui.tokens.asking import TARGET, ask, bars, said
from tokenarium.backend import Lab
from tokenarium.ui.tokens.answer import answer
from tokenarium.ui.why.number import unmarked


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

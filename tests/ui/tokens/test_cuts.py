"""What the Tokens page answers at once: cuts that stand under one another, languages, merges."""

import json
from typing import Any

from tests.tokenization.toys import state_of_bpe
from tests.ui.tokens.asking import TARGET, ask, said
from tokenarium.backend import Lab, TokenizeRequest
from tokenarium.ui.tokens.answer import answer
from tokenarium.ui.tokens.cuts import strip_of
from tokenarium.ui.why.number import unmarked


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


def test_a_turkish_text_is_counted_beside_its_own_words(lab: Lab, letters: str) -> None:
    found = answer(lab, {"do": "turkish", "with": [TARGET, letters]})
    assert found["html"].count("<tr>") == 1 + 3
    assert "the words themselves, uncut" in found["html"]
    assert "wrote themselves: small" in found["notes"]
    own = ask(lab, "turkish", source="own", text="The <b>king</b> saw it.")
    assert "too few to say" in own["said"]
    assert "Unknown of this text: the, b, king, saw." in own["notes"]
    assert "has no letters" in ask(lab, "turkish", source="own", text="12 !")["error"]

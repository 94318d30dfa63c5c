"""The Tokens page: typed, cut by a visitor's own file, read by arrow keys, asked for bytes."""

from pathlib import Path
from random import Random

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.tokenization.toys import state_of_bpe


def test_a_text_is_cut_by_two_tokenizers_and_the_address_keeps_it(
    visit: Visit, tmp_path: Path
) -> None:
    page = visit("tokens?with=bundled/target", wait=False)
    expect(page.locator(".tk-cuts-languages tbody tr")).to_have_count(29)
    page.locator("#cuts textarea").fill("the king")
    said = page.locator("#cuts .tk-sentence").first
    expect(said).to_contain_text("8 bytes: 2 tokens under")
    counts = page.locator("#cuts .tk-table").first
    with page.expect_download() as saved:
        counts.get_by_role("button", name="CSV").click()
    head, row = Path(saved.value.path()).read_text().splitlines()
    assert head.startswith("tokenizer,tokens,bytes per token")
    assert row.startswith("Bundled target,2,4,")
    mine = tmp_path / "mine.json"
    mine.write_text(state_of_bpe([("t", "h")], "thekingĠ"))
    page.locator("#cuts input[type=file]").set_input_files(mine)
    expect(said).to_contain_text("7 under mine.json: 3.50 times as many")
    strip = page.locator(".tk-cut-strip")
    expect(strip.locator(".tk-cut-block")).to_have_count(2)
    strip.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    readout = page.locator("#cuts .tk-readout")
    expect(readout).to_contain_text("mine.json, token 1 of 7")
    expect(readout).to_contain_text("bytes 74 68, merge 0: t + h")
    readout.get_by_role("button", name="0", exact=True).last.click()
    expect(page.get_by_role("dialog", name="Why this number")).to_contain_text("merge_rank[2]")
    page.keyboard.press("Escape")
    strip.focus()

    expect(page.locator(".tk-cuts-languages")).to_contain_text("leaves out characters")
    page.get_by_role("tab", name="Merges").click()
    page.locator("#cuts-panel input[type=range]").fill("1")
    expect(page.locator("#cuts-panel")).to_contain_text("Merge 1 of")
    assert "view=merges" in page.url
    page.reload()
    expect(page.locator("#cuts textarea")).to_have_value("the king")
    expect(page.get_by_role("tab", name="Merges")).to_have_attribute("aria-selected", "true")


def test_a_table_says_on_which_side_more_of_it_is_out_of_sight(visit: Visit) -> None:
    page = visit("tokens?with=bundled/target", wait=False)
    page.set_viewport_size({"width": 390, "height": 800})
    table = page.locator(".tk-cuts-languages .tk-table")
    expect(table).to_have_attribute("data-more", "right")
    said = "e => getComputedStyle(e, '::after').content"
    assert "scroll sideways" in table.locator("caption").evaluate(said)
    table.evaluate("e => { e.scrollLeft = 1e6; }")
    expect(table).to_have_attribute("data-more", "left")
    page.set_viewport_size({"width": 1440, "height": 800})
    expect(table.locator("tbody tr")).to_have_count(29)
    expect(table).not_to_have_attribute("data-more", "left")
    assert table.locator("caption").evaluate(said) == "none"


def test_a_model_scores_cuts_and_says_the_next_byte(visit: Visit) -> None:
    page = visit("tokens?view=byte", wait=False)
    panel = page.get_by_role("tabpanel")
    panel.get_by_label("Model", exact=True).select_option("bundled/target")
    page.get_by_label("Prefix, which may end inside a word").fill("Once upon a ti")
    page.get_by_role("button", name="Next byte").click()
    expect(page.locator(".tk-cuts-bars tbody tr").first).to_contain_text("“m”")
    page.get_by_role("tab", name="What a cut costs").click()
    panel.get_by_label("Model", exact=True).select_option("bundled/target")
    page.get_by_role("button", name="Score").click()
    expect(page.locator("#cuts-panel .tk-table tbody tr")).to_have_count(5)
    expect(page.locator(".tk-cuts-words li").first).to_be_visible()
    page.get_by_role("tab", name="Training text").click()
    page.get_by_role("button", name="Leave out Python: source of this program").click()
    page.get_by_label("Merges", exact=True).fill("20")
    page.get_by_role("button", name="Infer").click()
    expect(panel.locator(".tk-sentence")).to_contain_text("fit best to a training text of English")
    expect(panel.locator(".tk-cuts-bars tr")).to_have_count(2)
    page.get_by_role("tab", name="Vocabulary size").click()
    page.get_by_role("button", name="Draw").click()
    expect(panel.locator(".tk-sentence")).to_contain_text("the most of 29 languages")
    expect(panel.locator(".main-svg").first).to_be_visible()


def test_a_domain_is_compared_with_a_file_and_lib_is_trained(visit: Visit, tmp_path: Path) -> None:
    page = visit("tokens?with=bundled/target&view=domain", wait=False)
    panel = page.get_by_role("tabpanel")
    mine = tmp_path / "law.txt"
    mine.write_text("The lessee shall indemnify the lessor hereunder.\n" * 120)
    general = panel.get_by_label("General", exact=True)
    with page.expect_file_chooser() as chooser:
        general.select_option("file")
    chooser.value.set_files(mine)
    expect(general).to_have_value("law.txt")
    panel.get_by_role("button", name="Compare").click()
    expect(panel.locator(".tk-sentence")).to_contain_text("on held-out Python the tokenizer of")
    expect(panel.locator("table")).to_have_count(3)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size({"width": 1440, "height": 900})
    draw = Random(0)
    words = ["".join(draw.choices("abcdefgh", k=7)) for _ in range(400_000)]
    lines = [f"{' '.join(words[n : n + 8])}\n" for n in range(0, len(words), 8)]
    for part, half in (("Domain", lines[::2]), ("General", lines[1::2])):
        long = tmp_path / f"{part}.txt"
        long.write_text("".join(half))
        with page.expect_file_chooser() as chooser:
            panel.get_by_label(part, exact=True).select_option("file")
        chooser.value.set_files(long)
        expect(panel.get_by_label(part, exact=True)).to_have_value(long.name)
    panel.get_by_label("Entries", exact=True).fill("32000")
    panel.get_by_role("button", name="Compare").click()
    panel.get_by_role("button", name="Cancel").click()
    expect(panel.get_by_text("Cancelled.")).to_be_visible()
    page.get_by_role("tab", name="Train one").click()
    panel.get_by_label("Kind", exact=True).select_option("lib")
    panel.get_by_role("button", name="Train", exact=True).click()
    expect(panel.locator("tbody tr")).to_have_count(20)
    panel.get_by_role("button", name="Add it to the tokenizers above").click()
    expect(page.locator(".tk-cuts-chip").last).to_contain_text("LiB 500")


def test_new_tokens_are_swapped_in_and_found_again_at_their_address(visit: Visit) -> None:
    page = visit("tokens?view=added", wait=False)
    panel = page.get_by_role("tabpanel")
    said, bars = panel.locator(".tk-sentence"), panel.locator(".tk-cuts-bars tbody tr")
    expect(panel).to_contain_text("Rare words, whole, an example.")
    expect(said).to_contain_text("With 4 new tokens the text goes from 45 to 39 tokens")
    assert "run=" not in page.url
    panel.get_by_label("Model", exact=True).select_option("bundled/draft")
    panel.get_by_label("Text to score").fill("The seaweed and the seawater saw seaweed.")
    words = panel.get_by_label("Words", exact=True)
    words.fill("fish")
    panel.get_by_role("button", name="Swap").click()
    alert = panel.get_by_role("alert")
    expect(alert).to_contain_text("words has 'fish', which is no word of the text")
    expect(bars).to_have_count(0)
    words.fill("seaweed")
    panel.get_by_role("button", name="Swap").click()
    expect(said).to_contain_text("With 1 new token the text goes from ")
    expect(bars).to_have_count(4)
    expect(bars.first).to_contain_text("as it is")
    before = bars.all_inner_texts()
    assert "view=added&run=" in page.url
    page.reload()
    expect(words).to_have_value("seaweed")
    expect(panel.get_by_label("Model", exact=True)).to_have_value("bundled/draft")
    assert bars.all_inner_texts() == before
    page.get_by_role("tab", name="Merges").click()
    assert "run=" not in page.url
    page.goto(page.url.partition("?")[0] + "?run=example-rare-words-whole")
    expect(said).to_contain_text("With 4 new tokens the text goes from 45 to 39 tokens")
    assert "view=added" in page.url


def test_a_refused_and_a_cancelled_swap_are_said_and_the_next_one_goes_on(visit: Visit) -> None:
    page = visit("tokens?view=added", wait=False)
    panel = page.get_by_role("tabpanel")
    model = panel.get_by_label("Model", exact=True)
    model.select_option("bundled/target")
    page.get_by_label("Words", exact=True).fill("<script>alert(1)</script>")
    page.get_by_role("button", name="Swap").click()
    expect(panel.get_by_role("alert")).to_contain_text("no word of the text")
    expect(model).to_have_value("bundled/target")
    page.get_by_label("Words", exact=True).fill("")
    passage = panel.get_by_label("Text to score")
    passage.fill(" ".join([passage.input_value()] * 12))
    model.select_option("local/deep")
    page.get_by_role("button", name="Swap").click()
    panel.get_by_role("button", name="Cancel").click()
    expect(panel.get_by_text("ancelled")).to_be_visible()
    page.wait_for_timeout(2500)
    expect(panel.locator("progress")).to_have_count(0)
    shown = panel.locator("select").first.evaluate(
        "list => parseFloat(getComputedStyle(list).paddingRight)"
    )
    assert shown >= 28

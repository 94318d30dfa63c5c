"""Another language and Turkish on the Tokens page: counted, cancelled, scored, narrow, reopened."""

from random import Random

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit


def narrow(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size({"width": 1440, "height": 900})


def long_text(size: int) -> str:
    """Return words drawn of many, so that ever more pairs stand twice."""
    draw = Random(0)
    words = ["".join(draw.choices("aeiourstnlmcdp", k=draw.randint(3, 9))) for _ in range(4_000)]
    return " ".join(draw.choices(words, k=size))


def test_another_language_is_counted_cancelled_and_scored(visit: Visit) -> None:
    page = visit("tokens?with=bundled/target&view=extended", wait=False)
    panel = page.get_by_role("tabpanel")
    text, merges = panel.get_by_label("Text in another language"), panel.get_by_label("Merges")
    shipped = text.input_value()
    merges.fill("40")
    panel.get_by_role("button", name="Extend").click()
    said = panel.locator(".tk-sentence").first
    expect(said).to_contain_text("40 new tokens, trained on")
    expect(said).to_contain_text("the paragraph in Portuguese goes from")
    expect(panel.locator("tbody tr").first).to_contain_text("Portuguese")
    narrow(page)

    text.fill(long_text(13_000)[:99_000])
    merges.fill("8000")
    panel.get_by_role("button", name="Extend").click()
    panel.get_by_role("button", name="Cancel").click()
    expect(panel.get_by_text("Cancelled.")).to_be_visible()
    expect(panel.locator("progress")).to_have_count(0)

    text.fill(shipped[:2_000])
    merges.fill("40")
    panel.get_by_label("Model", exact=True).select_option("bundled/draft")
    panel.get_by_label("New tokens at most").fill("2")
    panel.get_by_role("button", name="Score").click()
    expect(panel.locator(".tk-cuts-bars tbody tr").first).to_contain_text("as it is")
    narrow(page)
    page.reload()
    tab = page.get_by_role("tab", name="Another language")
    expect(tab).to_have_attribute("aria-selected", "true")
    expect(text).to_have_value(shipped)


def test_turkish_is_counted_of_the_paragraph_and_of_the_text_above(visit: Visit) -> None:
    page = visit("tokens?with=bundled/target&view=turkish", wait=False)
    panel = page.get_by_role("tabpanel")
    said = panel.locator(".tk-sentence").first
    expect(said).to_contain_text("%")
    expect(panel.locator("tbody tr")).to_have_count(2)
    shipped = said.inner_text()
    narrow(page)
    page.locator("#cuts textarea").fill("Evlerde kitap okudum. Evler güzel.")
    panel.get_by_label("Text in Turkish").select_option("own")
    expect(said).not_to_have_text(shipped)
    page.reload()
    expect(page.get_by_role("tab", name="Turkish")).to_have_attribute("aria-selected", "true")
    expect(said).to_have_text(shipped)

"""A lesson beside the real page: passed, failed, helped, found again by its address."""

import re
from collections.abc import Callable

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DRAWN, App, Visit, chosen
from tokenarium.ui.lessons.reading import lessons

SAID = ".tk-lesson-said"
STEP = "() => new URL(location.href).searchParams.get('lesson_step')"


def begin(visit: Visit, number: int, slug: str = "sink") -> Page:
    return visit(lessons()[slug].address(number).removeprefix("./"))


def test_a_page_without_a_lesson_asks_for_none(visit: Visit, watch: object) -> None:
    page = visit()
    expect(page.locator(".tk-lesson")).to_be_hidden()
    asked = watch.requests[page]  # type: ignore[attr-defined]
    assert not [url for url in asked if "lesson" in url.split("?")[0].replace("lesson.js", "")]


def test_a_lesson_is_failed_with_help_then_passed_and_kept(visit: Visit) -> None:
    page = begin(visit, 1)
    panel, said = page.get_by_role("complementary", name="Lesson"), page.locator(SAID)
    expect(panel).to_contain_text("Where does the attention go?")
    expect(said).to_contain_text("look for the highest")
    page.locator("#strip .tk-token").nth(9).click()
    expect(said).to_contain_text("“,” (token 9)")
    expect(said).not_to_have_class(re.compile("tk-right"))
    panel.get_by_role("button", name="Hint").click()
    expect(panel.locator(".tk-lesson-hints li")).to_have_count(1)
    page.locator("#strip .tk-token").first.click()
    expect(said).to_contain_text("✓ “The” (token 0)")
    expect(panel).to_contain_text("attention sink")
    # The next step moves the page, and Back moves it back.
    panel.get_by_role("button", name="Next").click()
    expect(panel.get_by_role("heading", name="Find a head that rests on it")).to_be_focused()
    expect(said).to_contain_text("Layer 1, head 1")
    page.evaluate("window.tokenarium.select({layer: 18, head: 8})")
    expect(said).to_contain_text("✓ Layer 18, head 8")
    page.go_back()
    page.go_back()
    page.wait_for_function(f"({STEP})() === '1'")
    expect(panel).to_contain_text("Where does the attention go?")
    # Another page of the application knows what was passed.
    page.goto(page.url.split("?")[0] + "learn")
    card = page.locator("[data-lesson=sink]")
    expect(card.locator(".tk-learned")).to_have_text("2 of 8 steps passed")
    expect(card.get_by_role("link", name="Go on")).to_have_attribute(
        "href", re.compile("lesson_step=3")
    )


def test_an_answer_is_judged_when_it_is_given_also_by_the_keyboard(visit: Visit) -> None:
    page = begin(visit, 4)
    said = page.locator(SAID)
    # Tab begins in the lesson, whatever the page was scrolled to.
    expect(page.get_by_role("heading", name="How many heads rest?")).to_be_focused()
    answer = page.get_by_label("How many of the 270 heads")
    answer.fill("120")
    answer.press("Enter")
    expect(said).to_contain_text("120 is too low")
    # While the page is busy an answer is kept, and judged once it stands.
    page.evaluate("window.tokenarium.running.run = 'another'")
    answer.fill("121")
    answer.press("Enter")
    page.evaluate("window.tokenarium.running.run = ''; window.tokenarium.bus.emit('arrived', {})")
    expect(said).to_contain_text("121 is too low")
    answer.fill("175")
    answer.press("Enter")
    expect(said).to_contain_text("✓ 175 of 270")
    # The page's keys stay the page's: none is heard while a student types.
    before = chosen(page)["token"]
    answer.press("ArrowRight")
    assert chosen(page)["token"] == before


def test_a_step_of_another_page_opens_it_with_the_lesson(visit: Visit) -> None:
    page = begin(visit, 5)
    page.get_by_role("complementary", name="Lesson").get_by_role("button", name="Next").click()
    page.wait_for_url(re.compile("/cache"))
    page.wait_for_function("document.querySelectorAll('.tk-lane').length === 5")
    said = page.locator(SAID)
    expect(said).to_contain_text("H2O changes the predictions")
    page.get_by_label("Policy in the map").select_option("recent")
    expect(said).to_contain_text("✓ Recent only")


def test_a_hand_out_is_saved_from_the_learn_page(visit: Visit) -> None:
    page = visit("learn", wait=False)
    card = page.locator("[data-lesson=heavy]")
    with page.expect_download() as saved:
        card.get_by_role("button", name="Download the hand-out").click()
    assert saved.value.suggested_filename == "tokenarium-lesson-heavy.html"
    assert "<h2>Answers</h2>" in saved.value.path().read_text("utf-8")


def test_a_lesson_in_a_frame_is_failed_passed_and_goes_on(
    browser: Browser, app: App, visit: Visit, another_site: Callable[[str], str]
) -> None:
    page = begin(visit, 1)
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("menuitem", name="Embed in another page").click()
    dialog = page.get_by_role("dialog", name="Embed")
    expect(dialog.get_by_role("checkbox", checked=True)).to_have_count(1)
    snippet = dialog.get_by_role("textbox").input_value()
    assert "embed=lesson" in snippet
    assert "lesson_step=1" in snippet

    other = browser.new_page(viewport={"width": 1000, "height": 800})
    other.goto(another_site(f"<body style='margin:0'>{snippet}</body>"))
    framed = other.frame_locator("iframe")
    panel, said = framed.get_by_role("complementary", name="Lesson"), framed.locator(SAID)
    expect(said).to_contain_text("look for the highest")
    for hidden in ("#run", ".tk-head", "#views", "[data-do=close]", ".tk-lesson-fold"):
        expect(framed.locator(hidden).first).to_be_hidden()
    panel.get_by_role("button", name="Hint").click()
    expect(panel.locator(".tk-lesson-hints li")).to_have_count(1)
    framed.locator("#strip .tk-token").first.click()
    expect(said).to_contain_text("✓ “The” (token 0)")
    # The next step stands in the frame too, with another part; the link leads to the whole page.
    panel.get_by_role("button", name="Next").click()
    expect(panel).to_contain_text("Find a head that rests on it")
    expect(framed.locator("#plot-sink_grid .main-svg").first).to_be_visible()
    expect(framed.locator("#strip")).to_be_hidden()
    back = framed.get_by_role("link", name="Open in Tokenarium").get_attribute("href")
    assert back is not None
    assert "lesson_step=2" in back
    assert "embed" not in back
    # What computes is done on the whole page.
    panel.get_by_role("link", name="Step 8").click()
    live = panel.get_by_role("link", name="do this step in Tokenarium")
    expect(live).to_have_attribute("href", re.compile("lesson_step=8$"))
    with other.context.expect_page() as opened:
        live.click()
    assert "embed" not in opened.value.url
    assert other.evaluate("scrollY") == 0
    other.close()


def test_on_a_small_screen_the_lesson_folds_to_a_line(visit: Visit) -> None:
    page = visit(lessons()["sink"].address(1).removeprefix("./"), wait=False)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function(DRAWN)
    panel = page.get_by_role("complementary", name="Lesson")
    panel.get_by_role("button", name="Fold").click()
    assert panel.bounding_box()["height"] < 90
    page.locator("#strip .tk-token").first.click()
    expect(panel.locator(".tk-lesson-line")).to_contain_text("✓ “The”")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390

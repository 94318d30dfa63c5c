"""The Speculate page in a browser: marked text, rounds, tree, what-if, race, address."""

import csv
import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Share, Visit, Watch, open_controls, quiet
from tokenarium.backend import SpeculationResult
from tokenarium.backend.runs.examples import read
from tokenarium.backend.runs.kind import KINDS

PAGE = "speculate"


def shipped() -> SpeculationResult:
    """Return the run that the page opens with where a bundled model stands in."""
    known = {each.slug: each for each in KINDS.find("speculate").examples}
    found = read(known["guessed-ahead"]).result
    assert isinstance(found, SpeculationResult)
    return found


def chosen(page: Page) -> dict[str, Any]:
    """Return the round and the node that are shown."""
    found: dict[str, Any] = page.evaluate("({...window.tokenarium.speculating})")
    return found


def opened(visit: Visit, address: str = PAGE) -> Page:
    page = visit(address, wait=False)
    expect(page.locator(".tk-tree .tk-node").first).to_be_visible()
    return page


def test_a_finished_run_is_there_at_once(shared: Share) -> None:
    page, result = shared("speculate"), shipped()
    expect(page.locator("#sentence")).to_contain_text(
        f"{len(result.token_ids)} tokens in {len(result.rounds)} passes"
    )
    expect(page.locator(".tk-said .tk-mark")).to_have_count(len(result.token_ids))
    accepted = page.locator(".tk-said .tk-m-accepted")
    expect(accepted).to_have_count(int(result.rounds["accepted_len"].sum()))
    expect(page.locator(".tk-round")).to_have_count(len(result.rounds))
    expect(page.locator("#audit .tk-verdict")).to_contain_text("passed")
    expect(page.locator("#plot-by_depth .main-svg .cartesianlayer").first).to_be_visible()
    expect(page.locator("#cost")).to_contain_text("Guesses")
    assert page.evaluate("window.scrollY") == 0


def test_tokens_rounds_and_nodes_lead_to_each_other(shared: Share) -> None:
    page, result = shared("speculate"), shipped()
    token = int(result.rounds["new_tokens"][:3].sum())  # the first of the fourth round
    page.locator(f".tk-said [data-token='{token}']").click()
    expect(page.locator(".tk-tree-head h2")).to_have_text(f"Round 4 of {len(result.rounds)}")
    count = int(result.rounds["drafted"][3]) + 2  # its root, and the token that ends it
    expect(page.locator(".tk-tree .tk-node")).to_have_count(count)
    place = int(result.token_node[token] - result.rounds["first_node"][3])
    assert chosen(page) == {"round": 3, "node": place}
    page.locator(".tk-rounds").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tk-tree-head h2")).to_have_text(f"Round 5 of {len(result.rounds)}")
    page.locator(".tk-tree").focus()
    page.keyboard.press("Home")
    expect(page.locator(".tk-node-card")).to_contain_text("newest token")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tk-node-card .tk-facts").first).to_contain_text("accepted with")
    assert chosen(page) == {"round": 4, "node": 1}
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".tk-node-card")).to_contain_text("newest token")


def test_a_nodes_card_tells_why_it_lost(shared: Share) -> None:
    page = shared("speculate")
    page.locator(".tk-round").first.click()
    expect(page.locator(".tk-tree-head h2")).to_have_text(re.compile("^Round 1 of"))
    for _ in range(len(shipped().rounds)):
        lost = page.locator(".tk-node.tk-f-rejected")
        if lost.count():
            break
        page.locator(".tk-rounds").focus()
        before = page.locator(".tk-tree-head h2").inner_text()
        page.keyboard.press("ArrowRight")
        expect(page.locator(".tk-tree-head h2")).not_to_have_text(before)
    lost.first.click()
    expect(page.locator(".tk-node-card .tk-why")).to_have_text(re.compile("is not below|never"))
    expect(page.locator(".tk-node-card .tk-bars")).to_have_count(2)
    expect(page.locator(".tk-node-card .tk-hit").first).to_be_visible()


def test_another_rule_judges_the_same_tree_without_asking_python(
    shared: Share, module_watch: Watch
) -> None:
    page = shared("speculate")
    judge = page.locator(".tk-judge")
    expect(judge.locator("option")).to_have_count(len(shipped().rules))
    expect(page.locator("#cost")).to_contain_text("Guesses")
    quiet(page)
    before = page.locator(".tk-tree .tk-node").count()
    asked = module_watch.asked(page)
    for place in range(1, len(shipped().rules)):
        judge.select_option(index=place)
        name = judge.locator("option").nth(place).inner_text()
        expect(page.locator(".tk-outcome")).to_contain_text(f"By {name} it would have been")
        expect(page.locator(".tk-tree .tk-node")).to_have_count(before)
        said = page.locator(".tk-outcome span").nth(1).inner_text()
        accepted = page.locator(".tk-tree .tk-node.tk-f-accepted").count()
        assert f"it would have been {accepted} accepted" in said
    assert module_watch.asked(page) == asked
    judge.select_option(index=0)
    expect(page.locator(".tk-outcome span")).to_have_count(1)


def test_a_run_is_stored_linked_and_undone_by_back(visit: Visit) -> None:
    page = opened(visit)
    expect(page.locator("#cost")).to_contain_text("Guesses")
    page.locator("#text textarea").fill("The dog and the cat")
    open_controls(page)
    page.locator("#max-new-tokens input").fill("12")
    page.locator("#run").click()
    expect(page).to_have_url(re.compile("run="))
    expect(page.locator(".tk-prompt")).to_contain_text("The dog and the cat")
    expect(page.locator("#sentence")).to_contain_text("12 tokens in")
    address = page.url
    page.go_back()
    first = f"{len(shipped().token_ids)} tokens in"
    expect(page.locator("#sentence")).to_contain_text(first)
    again = opened(visit, address)
    expect(again.locator(".tk-prompt")).to_contain_text("The dog and the cat")
    expect(again.locator("#text textarea")).to_have_value("The dog and the cat")


def test_a_runs_tables_are_downloaded(shared: Share) -> None:
    page = shared("speculate")
    with page.expect_download() as found:
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_role("menuitem", name="Table of guesses (CSV)").click()
    with found.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == shipped().nodes["status"].tolist()


def test_only_rules_that_are_right_are_offered(shared: Share) -> None:
    page = shared("speculate")
    open_controls(page)
    page.locator("#temperature input[type=number]").fill("0")
    page.locator("#temperature input[type=number]").press("Enter")
    expect(page.locator("#rule input")).to_have_value("Greedy match")
    expect(page.locator("#refused-rules summary")).to_contain_text("rules would spoil the text")
    page.locator("#refused-rules summary").click()
    expect(page.locator("#refused-rules li").first).to_contain_text("temperature 0")


def test_drafters_race_beside_plain_decoding(visit: Visit) -> None:
    page = opened(visit)
    open_controls(page)
    page.locator("#max-new-tokens input").fill("10")
    page.locator("#race-run").click()
    racers = page.locator("#race .tk-racer")
    expect(racers).to_have_count(4)
    expect(racers.last).to_contain_text("Plain decoding")
    expect(page).to_have_url(re.compile("race="))
    for racer in racers.all():
        expect(racer).to_contain_text(re.compile(r"10 tokens, \d+ a second, \d\.\d\d a pass"))
        expect(racer.locator(".tk-mark")).to_have_count(10)
        expect(racer.locator(".tk-place")).to_have_text(re.compile(r"^\s*[1-4]"))
    places = sorted(racer.locator(".tk-place").inner_text().strip()[0] for racer in racers.all())
    assert places == ["1", "2", "3", "4"]
    scrub = page.get_by_label("Time of the race")
    scrub.fill("0")
    for racer in racers.all():
        expect(racer).to_contain_text("0 tokens")
    page.locator("#race .tk-speed").select_option("1")
    page.locator("#race .tk-play").click()
    expect(page.locator("#race .tk-play")).to_have_attribute("aria-label", "Play")
    expect(racers.first).to_contain_text("10 tokens")
    again = opened(visit, page.url)
    expect(again.locator("#race .tk-racer")).to_have_count(4)

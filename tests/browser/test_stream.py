"""Answers reach a page whatever else is on its way, and it asks no more than it has to."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit, choose_model, finished, open_controls, run_text
from tests.browser.served import App
from tests.browser.watch import Watch

LATE_MS = 1_500
LATE_END = """late => {
  const whole = window.fetch;
  window.ends = 0;
  window.fetch = async (what, init) => {
    const answer = await whole(what, init);
    if (!String(what.url ?? what).includes('queue/data')) return answer;
    const reader = answer.body.getReader(), read = new TextDecoder(), write = new TextEncoder();
    const pull = async out => {
      const {value, done} = await reader.read();
      if (done) { out.close(); return; }
      const said = read.decode(value, {stream: true}), at = said.indexOf('data: {"msg":"close_str');
      if (at < 0) { out.enqueue(value); return; }
      if (at) out.enqueue(write.encode(said.slice(0, at)));
      window.ends += 1;
      await new Promise(done => setTimeout(done, late));
      out.enqueue(write.encode(said.slice(at)));
    };
    const {status, headers} = answer;
    return new Response(new ReadableStream({pull}), {status, headers});
  };
}"""
"""The end of a stream comes late, as where a machine or a network is busy."""
TARGET = ".tk-attributed .tk-target"


def test_what_is_asked_while_a_stream_ends_is_answered(visit: Visit, app: App) -> None:
    page = visit("about:blank", wait=False)
    page.add_init_script(f"({LATE_END})({LATE_MS})")
    page.goto(f"{app.url}/why")
    expect(page.locator(TARGET)).to_be_visible()
    open_controls(page)
    choose_model(page, "bundled/target")
    page.locator("#against textarea, #against input").fill("")
    run_text(page, "Once upon a time there was a little girl.")
    for word in ("girl", "little"):
        page.wait_for_function("() => window.ends > 0")
        before = page.evaluate("window.ends = 0, window.tokenarium.state.run")
        # The server has said that nothing is left, which this page does not know yet.
        page.get_by_role("button", name=word, exact=True).click()
        finished(page, before)
        expect(page.locator(TARGET)).to_have_text(f" {word}")
    # Nothing is asked any more, and no stream stays open for it.
    page.wait_for_function("() => window.tokenarium.stream.asked.size === 0")


def test_a_page_that_has_come_asks_for_nothing_more(visit: Visit, watch: Watch) -> None:
    page = visit("why?patch=example-where-paris-is", wait=False)
    expect(page.locator("#plot-patch_residual .main-svg").first).to_be_visible()
    page.wait_for_timeout(3_000)
    asked = watch.asked(page)
    assert 3 <= asked < 12
    page.wait_for_timeout(3_000)
    assert watch.asked(page) == asked

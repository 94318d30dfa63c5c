"""The application as its own process, Chromium, and pages that must stay clean."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    expect,
    sync_playwright,
)

from tests.browser.another_site import pages_elsewhere
from tests.browser.deep_model import TEMPLATE, save_deep_model
from tests.browser.served import App, free_port, wait_for_app
from tests.browser.watch import Watch
from tokenarium.backend.settings import PROJECT

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A page that asks for another host fails even where there is a network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
STEP_MS = 60_000
expect.set_options(timeout=STEP_MS)
DRAWN = """() => {
  // Where there are views, the small picture over them says nothing of theirs.
  const views = document.querySelector('#views') ?? document;
  const plots = [...views.querySelectorAll('.tk-figure')]
    .filter(plot => plot.offsetParent && !plot.querySelector('.tk-empty'));
  return plots.length > 0 && plots.every(plot => plot.querySelector('.main-svg .cartesianlayer'))
    && document.querySelectorAll('#strip .tk-token').length > 0
    && window.tokenarium?.state.tokens > 0;
}"""
LINE = """([name, side]) => {
  const block = document.querySelector(`#plot-${name}`);
  const line = block.querySelector(`.tk-selected-${side}`);
  if (!line || line.hidden) return null;
  const full = block.querySelector('.js-plotly-plot')._fullLayout;
  const [axis, start, size, from] = side === 'x' ? ['xaxis', 'left', 'width', full._size.l]
    : ['yaxis', 'top', 'height', full._size.t];
  const centre = parseFloat(line.style[start]) + parseFloat(line.style[size]) / 2;
  return Math.round(full[axis].p2l(centre - from));
}"""
"""Where the line over a figure stands that shows what is chosen, in the units of its axis."""
SHOWN = {
    "": DRAWN,
    "cache": "document.querySelectorAll('.tk-lane').length === 5",
    "speculate": "document.querySelectorAll('.tk-tree .tk-node').length > 0",
}
"""By page, when its example is shown."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            # A page on a busy machine is slow, and the first test also starts the application.
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the browser's path; where none is found, tests are skipped, but in CI they fail."""
    told = os.environ.get("CHROMIUM")
    found = told or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        reason = f"no Chromium: none of {', '.join(NAMES)} is on the path, nor is CHROMIUM set"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


# One Playwright a module: its event loop would be in the way of other tests that need their own.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, headless=True, args=FLAGS, timeout=60_000
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., App]]:
    """Start applications with given options; all end with the session."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> App:
        folder = tmp_path_factory.mktemp("app")
        port = free_port()
        kept = {n: v for n, v in os.environ.items() if not n.startswith("TOKENARIUM_")}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "app.py", "--port", str(port), "--device", "cpu"),
                    *("--database", f"duckdb:///{folder / 'runs.duckdb'}"),
                    *("--no-fetch", "--cache-dir", str(folder / "cache"), *options),
                ],
                cwd=PROJECT,
                env=kept | {"HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": str(folder / "gradio")},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        app = App(f"http://127.0.0.1:{port}", folder / "log")
        wait_for_app(app, process)
        return app

    yield start
    for process in started:
        process.terminate()
    for process in started:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture(scope="session")
def app(serve: Callable[..., App], deep_models: Path) -> App:
    return serve("--models-dir", str(deep_models))


@pytest.fixture(scope="session")
def deep_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``deep``, of so many layers that a run can be cancelled, and ``chat``."""
    folder = tmp_path_factory.mktemp("models")
    save_deep_model(folder / "deep")
    save_deep_model(folder / "chat", 2, TEMPLATE)
    return folder


@pytest.fixture
def another_site() -> Iterator[Callable[[str], str]]:
    """A function that serves a page from another origin and returns its address."""
    with pages_elsewhere() as serve:
        yield serve


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Every page of a test is watched; the test fails if one did what it must not."""
    found = Watch()
    yield found
    assert found.wrong == []


Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, app: App, watch: Watch) -> Iterator[Visit]:
    """Open a page as a new visitor, or as the same one with ``context``, and wait until drawn."""
    contexts: list[BrowserContext] = []

    def open_page(
        address: str = "",
        *,
        at: App = app,
        context: BrowserContext | None = None,
        wait: bool = True,
        **options: Any,
    ) -> Page:
        if context is None:
            context = _new_visitor(browser, watch, at, **options)
            contexts.append(context)
        page = context.new_page()
        page.goto(address if address.startswith(("http", "about")) else f"{at.url}/{address}")
        if wait:
            page.wait_for_function(DRAWN)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def module_watch() -> Watch:
    return Watch()


Share = Callable[[str], Page]


@pytest.fixture(scope="module")
def open_shared(browser: Browser, app: App, module_watch: Watch) -> Iterator[Share]:
    """A function to a page that a module's tests share, opened when it is first asked for.

    To open a page takes longer than most tests do.
    """
    context = _new_visitor(browser, module_watch, app)
    pages: dict[str, Page] = {}

    def opened(path: str) -> Page:
        if path not in pages:
            pages[path] = context.new_page()
            pages[path].goto(f"{app.url}/{path}")
            pages[path].wait_for_function(SHOWN[path])
        pages[path].bring_to_front()
        return pages[path]

    yield opened
    context.close()


@pytest.fixture
def shared(open_shared: Share, module_watch: Watch) -> Iterator[Share]:
    """A function to the shared pages; the test fails if one did meanwhile what it must not."""
    yield open_shared
    wrong, module_watch.wrong = module_watch.wrong, []
    assert wrong == []


@pytest.fixture
def page(shared: Share) -> Page:
    """The shared Explore page, for tests that need no fresh one."""
    return shared("")


def _new_visitor(browser: Browser, watch: Watch, app: App, **options: Any) -> BrowserContext:
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, accept_downloads=True, **options
    )
    context.set_default_timeout(STEP_MS)
    watch.follow(context, app)
    return context


def open_controls(page: Page) -> None:
    """Open what stands under the line with Run, if it is closed."""
    button = page.locator(".tk-change")
    if button.get_attribute("aria-expanded") == "false":
        button.click()
    expect(button).to_have_attribute("aria-expanded", "true")


def choose_model(page: Page, name: str) -> None:
    """Type a model's name as a visitor would."""
    page.get_by_role("combobox", name="Model", exact=True).fill(name)
    page.keyboard.press("Enter")


def chosen(page: Page) -> dict[str, Any]:
    """Return the shared selection."""
    found: dict[str, Any] = page.evaluate("({...window.tokenarium.state})")
    return found


def open_view(page: Page, name: str) -> None:
    """Open a view by the name on its tab, and wait until its figures are drawn."""
    page.get_by_role("tab", name=name, exact=True).click()
    page.wait_for_function(DRAWN)


def drawn_after(page: Page, condition: str, arg: object = None) -> None:
    """Wait until a condition holds, and until what came with it is drawn."""
    page.wait_for_function(condition, arg=arg)
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def finished(page: Page, before: object) -> None:
    """Wait until another run than ``before`` is shown, and has ended."""
    ended = """before => {
      const {state, running} = window.tokenarium ?? {};
      return state?.run && state.run !== before && !running.run;
    }"""
    drawn_after(page, ended, before)


def quiet(page: Page) -> None:
    """Wait until the model is loaded, after which the page asks for nothing by itself."""
    expect(page.locator("#pill")).to_contain_text("ready")
    page.wait_for_timeout(500)


def run_text(page: Page, text: str, *, wait: bool = True) -> None:
    """Type a text and press Run."""
    before = chosen(page).get("run")
    page.locator("#text textarea").fill(text)
    page.locator("#run").click()
    if wait:
        finished(page, before)

"""A class of three: begun by a teacher, joined by its link, and a step that one of them passed."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import App, Watch, _new_visitor


def test_a_class_of_three(browser: Browser, app: App, watch: Watch) -> None:
    def person() -> Page:
        page = _new_visitor(browser, watch, app).new_page()
        page.goto(f"{app.url}/learn")
        return page

    teacher = person()
    teacher.get_by_label("Teachers: name of the class").fill("Year <i>10</i>")
    teacher.get_by_role("button", name="Begin a class").click()
    links = teacher.locator(".tk-class-link a")
    expect(links).to_have_count(2)
    for_students, for_teacher = (link.get_attribute("href") or "" for link in links.all())
    students = [person() for _ in range(3)]
    for number, student in enumerate(students, 1):
        student.goto(for_students)
        expect(student.locator(".tk-class-said")).to_contain_text(
            f"You are student {number} of Year <i>10</i>."
        )
    passing = students[1]
    passing.locator("[data-lesson=sink] .tk-begin").click()
    passing.wait_for_function("document.querySelectorAll('#strip .tk-token').length > 0")
    expect(passing.locator(".tk-lesson-said")).not_to_be_empty()
    passing.locator("#strip .tk-token").first.click()
    expect(passing.locator(".tk-lesson-said.tk-right")).to_be_visible()
    students[0].goto(f"{app.url}/learn")  # the browser remembers its class
    expect(students[0].locator(".tk-class-said")).to_contain_text("You are student 1")

    teacher.goto(for_teacher)
    row = teacher.get_by_role("row", name="1. Where does the attention go?")
    expect(row.get_by_role("cell")).to_have_text(["", "✓", "", "1 of 3"])
    with teacher.expect_download() as saved:
        teacher.get_by_role("button", name="Table as CSV").click()
    lines = Path(saved.value.path()).read_text().splitlines()
    assert lines[0] == "student,lesson,step,passed_utc"
    assert [line.rsplit(",", 1)[0] for line in lines[1:]] == ["2,sink,1"]

    stranger = person()
    stranger.get_by_label("Students: code of your class").fill("ZZZ ZZZ")
    stranger.get_by_role("button", name="Join").click()
    expect(stranger.locator(".tk-class-said")).to_contain_text("is unknown: check the 6 letters")
    for page in (teacher, stranger, *students):
        page.context.close()


def test_a_teacher_deletes_a_class(browser: Browser, app: App) -> None:
    context: Any = browser.new_context()
    page = context.new_page()
    page.goto(f"{app.url}/learn")
    page.get_by_role("button", name="Begin a class").click()
    page.goto(page.locator(".tk-class-link a").last.get_attribute("href"))
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete the class").click()
    expect(page.locator(".tk-class-said")).to_contain_text("The class is deleted")
    page.reload()
    expect(page.locator(".tk-class-said")).to_contain_text("this link opens no class")
    context.close()

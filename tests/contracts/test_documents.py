"""What the documents point to is there, and what they repeat is the same everywhere."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tokenarium.backend.settings import PROJECT

PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *PROJECT.glob("docs/**/*.md")]
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_and_included_files_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    included = re.findall(r'--8<-- "([^"]+)"', text)
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [file for file in included if not (PROJECT / file).is_file()]
    assert missing == []


def test_every_page_of_the_documents_is_in_their_navigation() -> None:
    navigation = (PROJECT / "mkdocs.yml").read_text()
    pages = [str(page.relative_to(PROJECT / "docs")) for page in PROJECT.glob("docs/**/*.md")]
    assert [page for page in pages if page not in navigation] == []


def test_the_readme_fits_two_screens() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 100


def test_pinned_versions_lie_within_the_ranges_of_the_package() -> None:
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    ranges = {own.name: own.specifier for own in map(Requirement, DECLARED["dependencies"])}
    assert ranges.keys() == pinned.keys()
    assert [name for name, version in pinned.items() if version not in ranges[name]] == []


def test_versions_and_folders_are_the_same_everywhere() -> None:
    citation = (PROJECT / "CITATION.cff").read_text()
    assert f"\nversion: {DECLARED['version']}\n" in citation
    gradio = re.search(r"^gradio==(.*)$", (PROJECT / "requirements.txt").read_text(), re.MULTILINE)
    assert gradio
    assert f"\nsdk_version: {gradio[1]}\n" in (PROJECT / "README.md").read_text()
    copied = re.findall(r"^COPY (\w+) \1$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    assert sorted(copied) == ["assets", "backend", "kernels", "storage", "ui"]

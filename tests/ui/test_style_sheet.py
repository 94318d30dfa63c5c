"""Rules of the pages' style sheet count for more than Gradio's own, each selector by itself."""

import pytest

from tokenarium.ui.shell.scripts import files, foot
from tokenarium.ui.shell.style_sheet import INSIDE, weighted
from tokenarium.ui.theme import css, theme


@pytest.mark.parametrize(
    ("rule", "inside"),
    [
        (".a { color: red; }", f"{INSIDE} .a{{color: red;}}"),
        (".a, .b > i{top:0}", f"{INSIDE} .a,{INSIDE} .b > i{{top:0}}"),
        (".a :is(th, td) { top: 0 }", f"{INSIDE} .a :is(th, td){{top: 0}}"),
        (".dark .a, .b { top: 0 }", f".dark {INSIDE} .a,{INSIDE} .b{{top: 0}}"),
        (".dark { top: 0 }", f".dark {INSIDE}{{top: 0}}"),
        (".darker { top: 0 }", f"{INSIDE} .darker{{top: 0}}"),
    ],
)
def test_a_rule_stands_as_it_is_and_once_more_with_weight(rule: str, inside: str) -> None:
    first, second = weighted(f"/* why, {{ }} */\n{rule}").splitlines()
    assert first.partition("{")[0] == rule.partition("{")[0].strip()
    assert second == inside


def test_rules_of_a_size_of_window_have_weight_and_movements_stay() -> None:
    wide = "@media (min-width: 1px) { .a { top: 0 } .dark .b { top: 1px } }"
    found = weighted(wide)
    assert found.startswith("@media (min-width: 1px){.a{top: 0}")
    assert f".dark {INSIDE} .b{{top: 1px}}" in found
    moves = "@keyframes k { from { top: 0 } to { top: 1px } }"
    assert weighted(moves) == "@keyframes k{from { top: 0 } to { top: 1px }}"


@pytest.mark.parametrize("broken", [".a { top: 0", ".a { } }", ".a"])
def test_what_is_no_style_sheet_is_refused(broken: str) -> None:
    with pytest.raises(ValueError, match="brackets do not match"):
        weighted(broken)


def test_the_sheet_is_whole_small_and_served_where_the_page_asks_for_it() -> None:
    (address,) = (name for name in files() if name.endswith(".css"))
    assert f'href="{address}"' in foot()
    sent = files()[address]
    assert sent.kind == "text/css"
    assert sent.text.count(b"{") > css().count("{")
    assert len(sent.packed) < 30_000


def _colour(name: str, look: str) -> tuple[float, ...]:
    """Return red, green and blue of a colour of the theme, in shares of the brightest."""
    given = f"*{name}"
    while given.startswith("*"):  # a dark page takes what it names from the dark ones too
        given = getattr(theme(), given[1:] + look, None) or getattr(theme(), given[1:])
    given = {"white": "#ffffff", "black": "#000000"}.get(given, given)
    return tuple(int(given[at : at + 2], 16) / 255 for at in (1, 3, 5))


def _luminance(colour: tuple[float, ...]) -> float:
    """As WCAG 2.2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("look", ["", "_dark"])
@pytest.mark.parametrize("state", ["", "_hover"])
@pytest.mark.parametrize("kind", ["primary", "secondary"])
def test_buttons_can_be_read_under_the_pointer_too(kind: str, state: str, look: str) -> None:
    fill, words = (
        _luminance(_colour(f"button_{kind}_{part}{state}", look))
        for part in ("background_fill", "text_color")
    )
    assert (max(fill, words) + 0.05) / (min(fill, words) + 0.05) >= 4.5

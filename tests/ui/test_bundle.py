"""The part of plotly.js that is served: what the figures draw, and nothing that they do not."""

import ast
from pathlib import Path

import plotly
import pytest

from tokenarium.ui.shell.bundle import TRACES, bundle

FIGURES = Path(__file__).resolve().parents[2] / "ui" / "figures"
SMALL = r"""/** plotly.js, MIT */
( function(root, factory) {} (self, () => {
"use strict";var Plotly=(()=>{var A1=Object.create;var W=(e,t)=>()=>(t||e((t={exports:{}}).exports,t),t.exports);var oneTrace=W((a,b)=>{b.exports={plot:shared,moduleType:"trace",name:"bar",text:`${helper(b)} maps`}});var bb=W((a,b)=>{b.exports=oneTrace()});var twoTrace=W((a,b)=>{b.exports={moduleType:"trace",name:"surface",draw:webgl()}});var cc=W((a,b)=>{b.exports=twoTrace()});function shared(e){return e.replace(/["'{]/g,"webgl(")/2}function helper(e){return{maps:e.webgl,text:'cc()'}}var webgl=W(()=>{});var maps,x,more=Ea(()=>{x=webgl()});var core=W((a,b)=>{b.exports={register(e){}}});var all=W((a,b)=>{var r=core();r.register([bb(),cc()]);b.exports=r});return all();})();
/*! licences of others */

window.Plotly = Plotly;
return Plotly;
}));"""  # noqa: E501 - as it comes


@pytest.fixture(scope="module")
def whole() -> str:
    found = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    return found.read_text("utf-8")


def test_a_bundle_has_what_its_traces_use_and_no_more() -> None:
    found = bundle(SMALL, ["bar"])
    for used in ("oneTrace=", "function shared", "function helper", "core=", "W=", "[bb()]"):
        assert used in found
    for unused in ("twoTrace", "cc=", "webgl=W", "more=", "surface"):
        assert unused not in found
    assert found.startswith("/** plotly.js, MIT */\n")
    assert "licences of others" in found
    assert "window" not in found
    assert "webgl=W" in bundle(SMALL, ["bar", "surface"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "window.Plotly = {};",
        SMALL.replace("function shared", "import shared"),
        SMALL.replace("register([", "registers(["),
        SMALL.replace("return all();", "return all();}"),
        SMALL.replace('name:"bar"', 'name:"bars"'),
    ],
)
def test_what_is_put_together_in_another_way_is_served_whole(text: str) -> None:
    assert bundle(text, ["bar"]) == text


def test_the_installed_plotly_is_cut_to_a_quarter(whole: str) -> None:
    found = bundle(whole)
    assert len(found) < len(whole) / 4
    for other in ("surface", "scattermap", "sankey"):
        assert f'name:"{other}"' in whole
        assert f'name:"{other}"' not in found
    assert found.splitlines()[:5] == whole.splitlines()[:5]
    for trace in TRACES:
        assert f'moduleType:"trace",name:"{trace}"' in found


def test_every_trace_that_a_figure_has_is_served() -> None:
    made = {
        node.func.attr.lower()
        for file in FIGURES.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "go"
    }
    assert made - {"figure"} == {"scatter", *TRACES}

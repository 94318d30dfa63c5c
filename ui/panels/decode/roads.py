"""Other roads from the same prompt: runs that were branched off, beside the one that is shown."""

import numpy as np

from tokenarium.backend import DecodeRequest, DecodeResult, Run, UserError
from tokenarium.ui.panels.decode.scene import DecodeScene
from tokenarium.ui.shell.panel import Panel, Values
from tokenarium.ui.text import escape, visible

MOST = 12
NONE = (
    '<p class="tk-sub">No other road from this prompt yet: choose a token above, and press one of '
    "its alternatives.</p>"
)
IMPORTED = (
    '<p class="tk-sub">Another server wrote this: no model is here to go on from another token. '
    "Entropies are lower bounds, from the tokens that the response gives.</p>"
)


class Roads(Panel):
    """The newest runs of one prompt and model, with the first difference of each text."""

    slug = "roads"

    def build(self) -> None:
        """Make the place."""
        self.html("roads")

    def draw(self, scene: DecodeScene) -> Values:
        """Return every road; none where the shown run is the only one."""
        if not isinstance(scene.request, DecodeRequest):
            return {"roads": IMPORTED}
        others = [] if scene.chosen.run is None else self._runs(scene)
        if not others:
            return {"roads": NONE if scene.runs else ""}
        own = _last(scene.result)
        lines = [_line(scene.result, scene.request, own, "", own=True)]
        for run in others:
            assert isinstance(run.result, DecodeResult)
            assert isinstance(run.request, DecodeRequest)
            lines.append(_line(run.result, run.request, own, run.id))
        head = "<h2>Other roads from this prompt</h2>"
        return {"roads": f'{head}<div class="tk-roads">{"".join(lines)}</div>'}

    def _runs(self, scene: DecodeScene) -> list[Run]:
        found: list[Run] = []
        listed = self.lab.search(
            visitor=scene.visitor, kind="decode", model=scene.request.model, limit=50
        )
        for record in listed:
            if record.id == scene.chosen.run or record.text != scene.request.given_text:
                continue
            try:
                run = self.lab.open(record.id, visitor=scene.visitor)
            except UserError:
                continue
            if isinstance(run.result, DecodeResult) and run.result.prompt == scene.result.prompt:
                found.append(run)
            if len(found) == MOST:
                break
        return found


def _last(result: DecodeResult) -> tuple[str, ...]:
    return result.lanes[-1].token_text


def _line(
    result: DecodeResult,
    request: DecodeRequest,
    shown: tuple[str, ...],
    run: str,
    own: bool = False,
) -> str:
    """Return one road: where it leaves the shown text, its scores and cost."""
    lane = result.lanes[-1]
    texts = lane.token_text
    same = 0
    while same < min(len(texts), len(shown)) and texts[same] == shown[same]:
        same += 1
    known = lane.tokens["probability"].astype(np.float64)
    mean = float(np.log(np.maximum(known, 1e-30)).mean()) if len(known) else 0.0
    facts = (
        f"{lane.title}, {len(texts)} tokens, mean ln p {mean:.2f}, mean entropy "
        f"{float(lane.entropy_nats.mean()) if len(texts) else 0:.2f} nats, {lane.passes} passes, "
        f"{lane.seconds:.2f} s"
    )
    if request.begin:
        facts += f"; {len(request.begin)} tokens given"
    shared, apart = "".join(texts[:same]), texts[same : same + 1]
    rest = "".join(texts[same + 1 :])
    words = "".join(
        f'<span class="{name}">{escape(visible(piece))}</span>'
        for name, piece in (("tk-shared", shared), ("tk-apart", "".join(apart)), ("", rest))
        if piece
    )
    link = "<b>shown</b>" if own else f'<a href="decode?run={escape(run)}">open</a>'
    mark = " tk-own" if own else ""
    return (
        f'<div class="tk-road-line{mark}"><p class="tk-sub">{link} {escape(facts)}</p>{words}</div>'
    )

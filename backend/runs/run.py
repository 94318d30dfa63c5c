"""A finished run: request, result, and everything needed to judge and repeat it."""

from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.request import Request
from tokenarium.backend.runs.result import Result

if TYPE_CHECKING:
    import pyarrow as pa

PICTURES = ("svg", "png")
FIGURES, IMAGES = "tokenarium.ui.figures.catalogue", "tokenarium.ui.figures.image"
OFFLINE, SHOWN = "tokenarium.ui.offline.page", "tokenarium.ui.offline.show"
"""Looked up when a figure is asked for: runs are computed and stored without the interface."""


@dataclass(frozen=True, repr=False)
class Run:
    """A run as computed or as read back from the store.

    ``environment`` holds commit, device, dtype, library versions and the model's fingerprint.
    ``duration_ms`` is the time of the computation, also when the run came from the cache.

    >>> run = lab.open("example-first-token")  # doctest: +SKIP
    >>> run  # doctest: +SKIP
    <Run example-first-token: trace of smollm2-135m-instruct, 99 tokens, 3561 ms>
    >>> run.table("token").column("surprisal_nats")  # doctest: +SKIP
    >>> run.figure("sinks", threshold=0.5).show()  # doctest: +SKIP
    >>> run.save("first-token.ipynb")  # doctest: +SKIP
    >>> run.save("sinks.svg", figure="sinks")  # doctest: +SKIP
    """

    id: str
    request: Request
    result: Result
    created: datetime
    duration_ms: float
    environment: dict[str, Any]
    cached: bool
    owner: str = ""

    def __repr__(self) -> str:
        ids = getattr(self.result, "token_ids", None)
        tokens = "" if ids is None else f", {len(ids)} token{'s' * (len(ids) != 1)}"
        model = getattr(self.request, "model", "")
        of = f" of {model}" if model else ""
        return f"<Run {self.id}: {self.request.kind}{of}{tokens}, {self.duration_ms:.0f} ms>"

    @property
    def missing(self) -> tuple[str, ...]:
        """Quantities that were not measured by the version that stored it; each is None."""
        return self.result.missing

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that its quantities make."""
        from tokenarium.backend.runs.tables import tables_of

        return tuple(tables_of(self.result))

    def table(self, name: str) -> "pa.Table":
        """Return one table: a column per quantity, a row per place of the axes they share.

        Args:
            name: one of ``tables``, such as ``token`` or ``layer_head``.

        Raises:
            UserError: naming the tables there are.
        """
        from tokenarium.backend.runs.tables import tables_of

        found = tables_of(self.result)
        if name not in found:
            raise UserError(f"table={name!r} is none of this run: choose {', '.join(found)}")
        return found[name]

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that can be drawn of it; none for kinds without."""
        names: tuple[str, ...] = import_module(FIGURES).names(self)
        return names

    def figure(self, name: str, **choices: Any) -> Any:
        """Return a figure as on the page, a ``plotly.graph_objects.Figure``.

        Args:
            name: one of ``figures``, such as ``sinks``.
            choices: what the page lets one choose, such as ``layer``, ``head`` or ``threshold``.

        Raises:
            UserError: if there is no such figure or choice, or the run has nothing to draw in it.
        """
        return import_module(FIGURES).figure(self, name, **choices)

    def notebook(self) -> str:
        """Return a notebook (nbformat 4.5, JSON) that computes the run again and compares."""
        from tokenarium.backend.runs.notebook import as_notebook

        return as_notebook(self)

    def html(self, **what_to_leave_out: Any) -> str:
        """Return the run as one HTML page with linked views, for a browser without a network.

        Args:
            what_to_leave_out: ``views``, names of the only ones in it, such as ``("strip",
                "attention")``; ``layers``, numbers of those whose heads are in it.

        Raises:
            UserError: if there is no such view or layer, or it is above 25 MB, with what to leave
                out.
        """
        page: str = import_module(OFFLINE).html(self, **what_to_leave_out)
        return page

    def show(self, *views: str, **choices: Any) -> Any:
        """Return views for a notebook, linked with each other, drawn inline without a server.

        They are kept when the notebook is saved or converted: ``run.show("strip", "attention")``.

        Args:
            views: as ``html`` takes them; none for all.
            choices: ``height`` in pixels, ``layers`` as ``html`` takes them.

        Raises:
            UserError: if there is no such view or layer, or it is above 25 MB.
        """
        return import_module(SHOWN).show(self, *views, **choices)

    def save(
        self,
        path: str | Path,
        format: str = "",  # noqa: A002 - the field's word
        figure: str = "",
        **choices: Any,
    ) -> Path:
        """Write the run, or one figure of it, to a file and return its path.

        Args:
            path: where; an older file is replaced.
            format: ``html`` (a page with linked views that needs no network), ``json``, ``ipynb``,
                ``csv`` or ``parquet`` (the last two a ZIP of all tables);
                of a figure ``svg``, ``png`` (with title, prompt, model, seed and run; they need
                ``pip install 'tokenarium[pictures]'`` and Chrome) or ``csv`` (a row for every
                mark); empty to go by the path's ending.
            figure: one of ``figures``, such as ``sinks``; empty for the run itself.
            choices: of the figure, such as ``layer``; of the page, as ``html`` takes them.

        Raises:
            UserError: if the format or figure is unknown, or no picture can be made here.
            OSError: if the file cannot be written.
        """
        from tokenarium.backend.runs.export import Format, as_file

        target = Path(path)
        wanted = format or target.suffix.removeprefix(".")
        if wanted == "html" and not figure:
            target.write_text(self.html(**choices), "utf-8")
            return target
        if wanted in PICTURES or (figure and wanted == "csv"):
            image = import_module(IMAGES).content(self, figure, wanted, **choices)
            target.write_bytes(image)
            return target
        if wanted not in get_args(Format):
            known = ", ".join((*get_args(Format), "html", *PICTURES))
            raise UserError(f"format={wanted!r} is unknown: choose {known}, or such an ending")
        if figure or choices:
            given = f"figure={figure!r}" if figure else f"{next(iter(choices))}=..."
            raise UserError(f"{given} with format={wanted!r}: a figure is saved as svg, png or csv")
        target.write_bytes(as_file(self, cast("Format", wanted)))
        return target

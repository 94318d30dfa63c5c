"""How runs of a page are started, followed to their end, and found again by their address."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlencode

from tokenarium.backend import (
    Cancelled,
    Event,
    Finished,
    ModelRequest,
    Partial,
    Progress,
    Run,
    UserError,
)
from tokenarium.ui.components.sentence import status, told
from tokenarium.ui.shell.drawing import BETWEEN, Asker, Drawing
from tokenarium.ui.shell.panel import Values
from tokenarium.ui.shell.section import Section, place_of

CANCELLED = "Cancelled. What was shown stays, marked partial; nothing was stored."


class Following(Drawing):
    """What a page shows of runs that go on."""

    def _start(
        self, section: Section, wanted: Sequence[ModelRequest], asker: Asker
    ) -> Iterator[Values]:
        ids: list[str] = []
        try:
            for request in wanted:
                ticket = self.lab.start(request, visitor=asker.visitor, needs=section.needs)
                ids.append(ticket.id)
        except UserError as error:
            for started in ids:
                self.lab.cancel(started, visitor=asker.visitor)
            yield {self.part(section, "status"): status(str(error), "error")}
            return
        joined = BETWEEN.join(ids)
        yield {
            "selection": {"shown": True, "why": "start", "section": section.slug, "id": joined},
            self.part(section, "running"): joined,
        }
        yield from self._follow(section, ids, wanted, asker, "finish")

    def _follow(
        self,
        section: Section,
        ids: Sequence[str],
        wanted: Sequence[ModelRequest],
        asker: Asker,
        why: str,
        *,
        controls: bool = False,
    ) -> Iterator[Values]:
        """Tell how far runs are, draw what is known of them, and the whole at the end."""
        said, running = self.part(section, "status"), self.part(section, "running")
        runs: list[Run] = []
        asker = replace(asker, told=self.page.again(asker.told)) if not controls else asker
        try:
            for run_id, request in zip(ids, wanted, strict=True):
                drawn, wait = time.monotonic(), section.first_partial_s or section.partial_every_s
                for event in self.lab.follow(run_id, visitor=asker.visitor):
                    if isinstance(event, Finished):
                        runs.append(event.run)
                        self._partial.pop(run_id, None)
                    elif not isinstance(event, Partial):
                        yield {said: told(_named(event, section.doing(request)))}
                    elif time.monotonic() - drawn >= wait:
                        yield self._part_of(section, run_id, event.result, request, asker)
                        drawn, wait = time.monotonic(), section.partial_every_s
                    else:
                        self._keep(run_id, event.result, request)
                if 0 < len(runs) < len(ids):
                    yield self._shown(section, runs, asker, "partial")
            yield {**self._shown(section, runs, asker, why, controls=controls), running: None}
        except (UserError, Cancelled) as error:
            words = CANCELLED if isinstance(error, Cancelled) else str(error)
            if isinstance(error, Cancelled) and "cancelled" not in str(error):
                words = str(error)
            kind = "info" if words == CANCELLED else "error"
            stop = {"shown": True, "why": "stop", "section": section.slug}
            yield {said: status(words, kind), "selection": stop, running: None}

    def _rejoined(
        self, section: Section, ids: str, going: Mapping[str, ModelRequest], asker: Asker
    ) -> Iterator[Values]:
        """Follow runs that an address names while they go on."""
        each = ids.split(BETWEEN)
        try:
            requests = [going.get(run_id) or self._asked_by(run_id, asker) for run_id in each]
        except UserError as error:
            yield {self.part(section, "status"): status(str(error), "error")}
            return
        start = {"shown": True, "why": "start", "section": section.slug, "id": ids}
        running = self.part(section, "running")
        yield {"selection": start, running: ids, **section.filled(requests[0])}
        yield from self._follow(section, each, requests, asker, "boot", controls=True)

    def _elsewhere(
        self, named: Mapping[str, str], going: Mapping[str, ModelRequest], asker: Asker
    ) -> str | None:
        """Return the address of the first run that belongs to another section or page."""
        for slug, ids in named.items():
            run_id = ids.split(BETWEEN)[0]
            try:
                request = going.get(run_id) or self._asked_by(run_id, asker)
            except UserError:
                continue  # said where it is opened
            place = place_of(type(request))
            if place is not None and type(request) not in self.page.sections[slug].kinds:
                path, section = place
                return f"{path or './'}?{urlencode({section: ids})}"
        return None

    def _asked_by(self, run_id: str, asker: Asker) -> ModelRequest:
        request = self.lab.open(run_id, visitor=asker.visitor).request
        assert isinstance(request, ModelRequest)
        return request


def _named(event: Event, doing: str) -> Event:
    if doing and isinstance(event, Progress):
        return replace(event, doing=f"{doing}: {event.doing}")
    return event

"""Race: up to three drafters on the same prompt, one after another, then side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from tokenarium.backend import (
    Cancelled,
    Drafter,
    Finished,
    Lab,
    Progress,
    Rule,
    Run,
    SpeculateRequest,
    UserError,
    pairs,
)
from tokenarium.ui.components.race import race_value
from tokenarium.ui.components.sentence import status, told
from tokenarium.ui.pages.speculate import Asked, Speculate, speculation_of
from tokenarium.ui.views.view import Values, number
from tokenarium.ui.visitor import visitor_of

MOST = 3
BETWEEN = "."
"""Stands between the runs of a race in an address."""


class Race:
    """Handlers of the part of the page that races."""

    def __init__(self, lab: Lab, page: Speculate) -> None:
        self.lab, self.page = lab, page
        self.titles = {drafter.slug: drafter.title for drafter in lab.methods(Drafter)}
        self.needs_draft_probs = {rule.slug: rule.needs_draft_probs for rule in lab.methods(Rule)}

    def run(self, asked: Asked, chosen: object, request: gr.Request) -> Iterator[Values]:
        """Run every drafter on the prompt, showing those that are done."""
        try:
            done: list[Run] = []
            for wanted in self._requests(asked, chosen):
                title = self.titles[wanted.drafter.slug]
                for event in self.lab.stream(wanted, visitor=visitor_of(request)):
                    if isinstance(event, Finished):
                        done.append(event.run)
                    elif isinstance(event, Progress):
                        named = replace(event, doing=f"{title}: {event.doing}")
                        yield {"race_status": told(named)}
                    elif said := told(event):
                        yield {"race_status": said}
                yield {"race": self._value(done)}
            ids = BETWEEN.join(run.id for run in done)
            yield {"race_status": "", "address": {"race": ids}}
        except (UserError, Cancelled) as error:
            yield {"race_status": status(str(error), "error")}

    def open(self, told_ids: object, request: gr.Request) -> Values:
        """Show the runs of a race that an address names."""
        if not isinstance(told_ids, str) or not told_ids:
            return {}
        try:
            runs = [
                self.lab.open(run_id, visitor=visitor_of(request))
                for run_id in told_ids.split(BETWEEN)[:MOST]
            ]
            return {"race": self._value(runs), "address": {"race": told_ids}}
        except UserError as error:
            return {"race_status": status(str(error), "error")}

    def rule_for(self, slug: str, asked: Asked) -> Any:
        """Return the page's rule where it is right; else a lossless one.

        Rules that use how likely the draft found a guess accept more, and come first.
        """
        every = pairs(number(asked.values["temperature"], 0, 5, 0))
        right = [pair for pair in every if pair.drafter == slug and pair.reason is None]
        fitting: Sequence[str] = [pair.rule for pair in right if pair.promise == "lossless"]
        own = asked.values["rule"]
        if own in {pair.rule for pair in right} or not fitting:
            return own
        reading = (rule for rule in fitting if self.needs_draft_probs[rule])
        return next(reading, fitting[0])

    def _value(self, runs: Sequence[Run]) -> str:
        lanes = []
        for run in runs:
            result, asked = speculation_of(run)
            drafter, rule = self.titles[asked.drafter.slug], self.page.titles[asked.rule.slug]
            lanes.append((drafter, rule, result))
        return race_value(lanes)

    def _requests(self, asked: Asked, chosen: object) -> list[SpeculateRequest]:
        slugs = chosen if isinstance(chosen, list) else []
        if not 1 <= len(slugs) <= MOST:
            raise UserError(f"drafters={len(slugs)} chosen: choose 1 to {MOST} to race")
        return [self._request(asked, slug) for slug in slugs]

    def _request(self, asked: Asked, slug: str) -> SpeculateRequest:
        """Return the page's own question with another drafter, under a rule right for it."""
        same = slug == asked.values["drafter"]
        rule = self.rule_for(slug, asked)
        return self.page.request(
            replace(
                asked,
                values={**asked.values, "drafter": slug, "rule": rule},
                drafter=asked.drafter if same else {},
                rule=asked.rule if rule == asked.values["rule"] else {},
            )
        )

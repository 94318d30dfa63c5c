"""Simulated visitors of three kinds: who looks at examples, runs small texts, sweeps.

A visitor keeps a connection, as a browser does; making one anew for each request takes longer than
most answers.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.load.asking import Asked, ask, read

MODEL = "bundled/target"
KINDS = ("looks", "runs", "sweeps")
SHARES = {"looks": 0.5, "runs": 0.4, "sweeps": 0.1}
PAUSES_S = {"looks": (1.0, 4.0), "runs": (2.0, 6.0), "sweeps": (5.0, 15.0)}
"""Between an answer and the next request, drawn uniformly."""
BY_ENDPOINT = 0.125
"""Of the stored runs that are looked at: through Gradio's queue, all others at their address."""
WORDS = (
    "the", "old", "keeper", "counted", "every", "step", "of", "his", "tower", "while", "a", "ship",
    "went", "by", "in", "fog",
)  # fmt: skip


@dataclass
class Visitor:
    """Who asks, and what became of it."""

    kind: str
    number: int
    examples: Sequence[str]
    """Ids of stored runs that it looks at."""
    name: str = field(default_factory=lambda: secrets.token_hex(16))
    asked: list[Asked] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        """A cookie and an address of its own, as a load balancer would pass them on."""
        address = f"10.{self.number // 250 % 250}.{self.number % 250}.7"
        return {"cookie": f"tokenarium_visitor={self.name}", "x-forwarded-for": address}

    async def live(self, urls: Sequence[str], over: Callable[[], bool], seed: int) -> None:
        """Ask again and again; goes to the next replica where its own does not answer."""
        draw, home = random.Random(seed), self.number
        await asyncio.sleep(draw.uniform(0, PAUSES_S[self.kind][1]))
        while not over():
            async with connected(urls[home % len(urls)]) as http:
                while not over():
                    self.asked.append(await self._ask(http, draw))
                    await asyncio.sleep(draw.uniform(*PAUSES_S[self.kind]))
                    if self.asked[-1].broken:
                        home += 1
                        break

    async def once(self, http: httpx.AsyncClient, seed: int) -> Asked:
        """Ask once, which is kept nowhere."""
        return await self._ask(http, random.Random(seed))

    async def _ask(self, http: httpx.AsyncClient, draw: random.Random) -> Asked:
        text = " ".join(draw.choices(WORDS, k=24)) + f" {secrets.token_hex(3)}"
        began = time.monotonic()
        if self.kind == "looks":
            wanted = draw.choice(self.examples)
            if draw.random() >= BY_ENDPOINT:
                return await read(http, self.headers, Asked("open", self.name, wanted, began))
            asked = Asked("endpoint", self.name, wanted, began)
            return await ask(http, "run", {"run_id": wanted}, self.headers, asked)
        if self.kind == "runs":
            asked = Asked("trace", self.name, text, began)
            return await ask(http, "trace", {"model": MODEL, "text": text}, self.headers, asked)
        asked = Asked("sweep", self.name, text, began)
        values: dict[str, Any] = {
            "model": MODEL,
            "prompts": [text],
            "policies": ["recent", "streaming_llm"],
            "budgets": [0.75, 0.5],
            "max_new_tokens": 8,
        }
        return await ask(http, "sweep", values, self.headers, asked)


def connected(url: str) -> httpx.AsyncClient:
    """Return a visitor's connection; no certificate is read for what is on the loopback."""
    timeout = httpx.Timeout(120, connect=5)
    return httpx.AsyncClient(base_url=url, timeout=timeout, verify=False)


def crowd(count: int, examples: Sequence[str]) -> list[Visitor]:
    """Return visitors in their shares, at least one of each kind."""
    numbers = {kind: max(1, round(count * SHARES[kind])) for kind in KINDS[1:]}
    numbers["looks"] = max(1, count - sum(numbers.values()))
    kinds = [kind for kind in KINDS for _ in range(numbers[kind])]
    return [Visitor(kind, number, examples) for number, kind in enumerate(kinds)]

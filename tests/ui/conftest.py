"""Hand-made results, and a lab whose model and runner are stand-ins."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from tests.labs import shipped_store
from tests.ui import hand_made
from tokenarium.backend import (
    CancelToken,
    Event,
    Lab,
    LensRequest,
    LensResult,
    Partial,
    Progress,
    RegionRequest,
    RegionResult,
    Settings,
    TraceRequest,
    TraceResult,
)
from tokenarium.backend.models.registry import ModelRegistry

MODEL = "local/tiny"


@pytest.fixture(scope="session")
def small() -> TraceResult:
    return hand_made.trace(5)


@pytest.fixture(scope="session")
def long() -> TraceResult:
    """A text of 130 tokens, so that tiles of 64 hold 2 or 3 of them."""
    return hand_made.trace(130)


class Reader:
    """Reads a text one token a character; can be held between its first words and its last."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.texts: list[str] = []
        self.regions: list[RegionRequest] = []
        self.lenses: list[LensRequest] = []

    def trace(
        self,
        request: TraceRequest,
        loaded: object,
        limit: int,
        emit: Callable[[Event], None],
        cancel: CancelToken,
    ) -> TraceResult:
        self.texts.append(request.text)
        if len(request.text) > limit:
            raise ValueError(f"text has {len(request.text)} tokens, above {limit}: cut it")
        emit(Progress("reading layer", 1, 2))
        emit(Partial(hand_made.unfinished(len(request.text))))
        while not self.gate.wait(0.005):
            cancel.check()
        return hand_made.trace(len(request.text), tiles=request.tiles, lens=request.logit_lens)

    def region(
        self, request: RegionRequest, loaded: object, limit: int, emit: object, cancel: object
    ) -> RegionResult:
        self.regions.append(request)
        queries, keys = (
            hand_made.edges(start, stop, request.tiles)
            for start, stop in (
                (request.query_start, request.query_stop),
                (request.key_start, request.key_stop),
            )
        )
        values = hand_made.numbered(len(queries) - 1, len(keys) - 1)
        return RegionResult(values, values * 2, queries, keys, "kept queries and keys")

    def lens(
        self,
        request: LensRequest,
        loaded: object,
        limit: int,
        emit: Callable[[Event], None],
        cancel: CancelToken,
    ) -> LensResult:
        self.lenses.append(request)
        emit(Progress("decoding layers", 1, 2))
        while not self.gate.wait(0.005):
            cancel.check()
        return hand_made.lens(len(request.text), request.rows or tuple(range(len(request.text))))


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Reader]:
    """Compute with the stand-in instead of a model, until the module's tests are done."""
    found = Reader()
    runners = {
        "tokenarium.backend.trace.runner:trace": found.trace,
        "tokenarium.backend.region.runner:region": found.region,
        "tokenarium.backend.lens.runner:lens": found.lens,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tokenarium.backend.runs.engine.imported", runners.__getitem__)
        patch.setattr("tokenarium.backend.runs.engine.describe", _described)
        patch.setattr(ModelRegistry, "use", _use)
        yield found


@pytest.fixture(scope="module")
def make_lab(
    stand_in: Reader, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Lab]]:
    """Open labs over one folder with one model, each with its own database."""
    models = tmp_path_factory.mktemp("models")
    (models / "tiny").mkdir()
    (models / "tiny" / "config.json").write_text("{}")
    opened: list[Lab] = []

    def make(**options: object) -> Lab:
        values = {
            "database": shipped_store(),
            "device": "cpu",
            "models_dir": models,
            "hosted": False,
            "hosted_models": (MODEL,),
        }
        opened.append(Lab(Settings(**{**values, **options})))
        return opened[-1]

    yield make
    stand_in.gate.set()
    for lab in opened:
        lab.close()


@pytest.fixture(scope="module")
def lab(make_lab: Callable[..., Lab]) -> Lab:
    """The lab of a whole module: what was read once is stored."""
    return make_lab()


@pytest.fixture
def reader(stand_in: Reader) -> Reader:
    """The stand-in, as if it had read nothing, with its gate open."""
    stand_in.gate.set()
    stand_in.texts.clear()
    stand_in.regions.clear()
    stand_in.lenses.clear()
    return stand_in


@contextmanager
def _use(registry: ModelRegistry, source: object, dtype: str) -> Iterator[SimpleNamespace]:
    yield SimpleNamespace(
        context=512,
        device=SimpleNamespace(type="cpu"),
        dtype=dtype,
        fingerprint=registry.fingerprint(source),
        weights="",
    )


def _described(device: str, dtype: str, fingerprint: str) -> dict[str, object]:
    return {"device": device, "dtype": dtype, "commit": "abc", "fingerprint": fingerprint}

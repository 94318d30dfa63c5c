"""Metrics and traces of runs for an OpenTelemetry collector, where one is named.

Names follow the semantic conventions of OpenTelemetry: units in seconds and bytes, dots between.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenarium.backend.environment import project_version
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.observed import ObservedRun

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

EVERY_MS = 15_000.0
"""How often metrics are sent."""
_END_S = 2.0
"""How long the last ones may take when the program ends."""
_NAME = "tokenarium"


class Telemetry:
    """Sends what is observed of runs to a collector, over OTLP and HTTP.

    Args:
        endpoint: such as ``http://localhost:4318``.
        waiting: returns how many runs wait for a model now.

    Raises:
        UserError: if the packages are missing.
    """

    def __init__(self, endpoint: str, waiting: Callable[[], int]) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise UserError(
                f"telemetry={endpoint!r} needs what is not installed here ({error.name}): "
                "pip install 'tokenarium[telemetry]'"
            ) from error
        of = Resource.create({"service.name": _NAME, "service.version": project_version()})
        address = endpoint.rstrip("/")
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=f"{address}/v1/metrics"), export_interval_millis=EVERY_MS
        )
        # Providers of its own: the process-wide ones belong to whoever embeds the program.
        self._metrics = MeterProvider([reader], resource=of, shutdown_on_exit=False)
        self._traces = TracerProvider(resource=of, shutdown_on_exit=False)
        spans = OTLPSpanExporter(endpoint=f"{address}/v1/traces")
        self._traces.add_span_processor(BatchSpanProcessor(spans))
        self._tracer: Tracer = self._traces.get_tracer(_NAME)
        meter: Meter = self._metrics.get_meter(_NAME)
        self._requests = meter.create_counter(
            "tokenarium.requests", "{request}", "Requests by kind, model and outcome."
        )
        self._run = meter.create_histogram("tokenarium.run.duration", "s", "From turn to end.")
        self._wait = meter.create_histogram("tokenarium.run.wait", "s", "From request to turn.")
        _gauge(meter, "tokenarium.queue.waiting", "{run}", waiting)
        _gauge(meter, "process.memory.usage", "By", memory_bytes)

    def __call__(self, run: ObservedRun) -> None:
        """Count a request; one that had its turn is a span, too, with its wait and its run."""
        of = {"kind": run.kind, "model": run.model, "outcome": run.outcome}
        self._requests.add(1, of)
        if not run.run_s:
            return
        self._wait.record(run.waited_s, of)
        self._run.record(run.run_s, of)
        from opentelemetry.trace import set_span_in_context

        end = time.time_ns()
        turn = end - round(run.run_s * 1e9)
        asked = turn - round(run.waited_s * 1e9)
        span = self._tracer.start_span("request", start_time=asked, attributes=of)
        inside = set_span_in_context(span)
        for name, first, last in (("wait", asked, turn), ("run", turn, end)):
            self._tracer.start_span(name, inside, start_time=first).end(last)
        span.end(end)

    def close(self) -> None:
        """Send what was not sent yet, without waiting long for a collector that is gone."""
        # Where nobody answers, exporters try again for longer than they are given.
        ending = threading.Thread(target=self._end, daemon=True)
        ending.start()
        ending.join(_END_S)

    def _end(self) -> None:
        self._metrics.shutdown()
        self._traces.shutdown()


def memory_bytes() -> int:
    """Return the resident memory of this process; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    found = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return 1024 * int(next(found, 0))


def _gauge(meter: "Meter", name: str, unit: str, read: Callable[[], int]) -> None:
    from opentelemetry.metrics import Observation

    def observed(_: Any) -> list[Observation]:
        return [Observation(read())]

    meter.create_observable_gauge(name, [observed], unit)

"""What a collector of OpenTelemetry is sent: counts, seconds and spans, and nobody's words."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tokenarium.backend import Lab, Settings, TraceRequest, UserError

SECRET = "a-visitors-own-words"


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What arrives from a lab that computed a run, opened it, and refused another."""
    bodies: dict[str, list[bytes]] = {"/v1/metrics": [], "/v1/traces": []}

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies[self.path].append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    settings = Settings(database="duckdb:///:memory:", device="cpu", fetch=False, telemetry=address)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tokenarium.backend.runs.examples.FOLDER", tmp_path_factory.mktemp("none"))
        lab = Lab(settings)
    with lab:
        asked = TraceRequest(model="bundled/target", text=f"Once {SECRET}")
        lab.run(asked)
        lab.run(asked)
        with pytest.raises(UserError):
            lab.run(TraceRequest(model=f"local/{SECRET}", text=SECRET))
    server.shutdown()
    server.server_close()
    assert all(SECRET.encode() not in body for each in bodies.values() for body in each)
    metrics, spans = {}, []
    for body in bodies["/v1/metrics"]:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            metrics |= {m.name: m for scope in resource.scope_metrics for m in scope.metrics}
    for body in bodies["/v1/traces"]:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            spans += [span for scope in resource.scope_spans for span in scope.spans]
    return SimpleNamespace(metrics=metrics, spans=spans)


def attributes(of: object) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in of.attributes}


def test_requests_are_counted_by_kind_model_and_outcome(sent: SimpleNamespace) -> None:
    points = sent.metrics["tokenarium.requests"].sum.data_points
    assert {attributes(p)["outcome"]: p.as_int for p in points} == {
        "computed": 1,
        "stored": 1,
        "refused": 1,
    }
    computed = next(p for p in points if attributes(p)["outcome"] == "computed")
    assert attributes(computed)["model"] == "bundled/target"
    assert {attributes(p)["kind"] for p in points} == {"trace"}


def test_seconds_memory_and_queue_are_measured(sent: SimpleNamespace) -> None:
    seconds = {
        attributes(p)["outcome"]: p.sum
        for p in sent.metrics["tokenarium.run.duration"].histogram.data_points
    }
    assert seconds["computed"] > 0
    assert "stored" not in seconds
    [memory] = sent.metrics["process.memory.usage"].gauge.data_points
    assert memory.as_int > 50 * 2**20
    [waiting] = sent.metrics["tokenarium.queue.waiting"].gauge.data_points
    assert waiting.as_int == 0


def test_a_request_is_a_span_of_its_wait_and_its_run(sent: SimpleNamespace) -> None:
    request = next(s for s in sent.spans if attributes(s).get("outcome") == "computed")
    parts = {s.name: s for s in sent.spans if s.parent_span_id == request.span_id}
    assert parts.keys() == {"wait", "run"}
    assert parts["wait"].start_time_unix_nano == request.start_time_unix_nano
    assert parts["wait"].end_time_unix_nano == parts["run"].start_time_unix_nano
    assert parts["run"].end_time_unix_nano == request.end_time_unix_nano


def test_telemetry_without_its_packages_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", None)
    settings = Settings(
        database="duckdb:///:memory:", fetch=False, telemetry="http://localhost:4318"
    )
    with pytest.raises(UserError, match=r"tokenarium\[telemetry\]"):
        Lab(settings)

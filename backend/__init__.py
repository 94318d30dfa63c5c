"""The engine behind the page: one facade, ``Lab``, and the types it takes and returns.

Names load on first use, so that kernels and instruments import without SQL, and a run that comes
from the cache needs neither torch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenarium.backend.analysis.classes import CLASSES, ClassMass, mass_by_class, token_classes
    from tokenarium.backend.analysis.compare import Comparison, compare, token_difference
    from tokenarium.backend.analysis.heavy import (
        COVERAGE_SHARES,
        accumulated_chance,
        accumulated_mass,
        chance_overlap,
        chosen_mean,
        coverage,
        heaviest,
        held_by_heaviest,
        known_mean,
        overlap,
        times_noise,
    )
    from tokenarium.backend.analysis.labels import LABEL_RULES, LabelRule, head_labels
    from tokenarium.backend.analysis.neighbours import over_neighbours
    from tokenarium.backend.analysis.noise import (
        accumulated_noise,
        accumulated_noise_by_layer,
        distance_noise,
        entropy_noise,
        received_noise,
        received_noise_by_layer,
    )
    from tokenarium.backend.analysis.sinks import (
        LATER_QUERIES,
        Dimension,
        Sink,
        find_sinks,
        over_median,
        seen_mass,
        sink_rate,
        sink_scores,
    )
    from tokenarium.backend.analysis.taxonomy import (
        MEASURES,
        HeadEvidence,
        HeadMeasure,
        RepeatProbe,
        head_measures,
    )
    from tokenarium.backend.benchmark.sweep.estimate import SweepEstimate
    from tokenarium.backend.benchmark.sweep.request import PointRequest, SweepRequest
    from tokenarium.backend.benchmark.sweep.result import SweepResult
    from tokenarium.backend.benchmark.task import Task
    from tokenarium.backend.cache.estimate import CacheEstimate
    from tokenarium.backend.cache.policy import Policy
    from tokenarium.backend.cache.request import CacheRequest, PolicySpec
    from tokenarium.backend.cache.result import CacheResult, PolicyRun, Scores
    from tokenarium.backend.cache.token_roles import KINDS, Protected, kinds, protected
    from tokenarium.backend.errors import UserError
    from tokenarium.backend.follow.request import FollowRequest
    from tokenarium.backend.follow.result import FollowResult
    from tokenarium.backend.heartbeat.request import HeartbeatRequest
    from tokenarium.backend.heartbeat.result import HeartbeatResult
    from tokenarium.backend.interventions.declaration import Intervention
    from tokenarium.backend.interventions.request import InterventionRequest
    from tokenarium.backend.interventions.result import InterventionResult
    from tokenarium.backend.models.info import ModelInfo
    from tokenarium.backend.probe.request import ProbeRequest
    from tokenarium.backend.probe.result import ProbeResult
    from tokenarium.backend.region.request import RegionRequest
    from tokenarium.backend.region.result import RegionResult
    from tokenarium.backend.runs.events import (
        Cancelled,
        CancelToken,
        Event,
        Finished,
        Partial,
        Progress,
        Queued,
    )
    from tokenarium.backend.runs.lab import Lab
    from tokenarium.backend.runs.request import ModelRequest, Request, TextRequest
    from tokenarium.backend.runs.result import Quantity, Result
    from tokenarium.backend.runs.run import Run
    from tokenarium.backend.settings import Settings
    from tokenarium.backend.speculation.drafter import Drafter
    from tokenarium.backend.speculation.estimate import SpeculateEstimate
    from tokenarium.backend.speculation.matrix import Pair
    from tokenarium.backend.speculation.node_schema import REASONS, STATUSES
    from tokenarium.backend.speculation.replay import Retold, retold, tree_rows
    from tokenarium.backend.speculation.request import DrafterSpec, RuleSpec, SpeculateRequest
    from tokenarium.backend.speculation.result import SpeculationResult
    from tokenarium.backend.speculation.rule import Rule
    from tokenarium.backend.speculation.sequoia import expected_tokens, optimal_tree
    from tokenarium.backend.speculation.summary import (
        Levels,
        Pace,
        Share,
        acceptance_vector,
        became,
        by_depth,
        by_entropy,
        by_rank,
        calibration,
        levels,
        pace,
    )
    from tokenarium.backend.speculation.teaching import Biases
    from tokenarium.backend.trace.request import TraceRequest
    from tokenarium.backend.trace.result import TraceResult

_HOME = {
    "Biases": "tokenarium.backend.speculation.teaching",
    "CLASSES": "tokenarium.backend.analysis.classes",
    "COVERAGE_SHARES": "tokenarium.backend.analysis.heavy",
    "CacheEstimate": "tokenarium.backend.cache.estimate",
    "CacheRequest": "tokenarium.backend.cache.request",
    "CacheResult": "tokenarium.backend.cache.result",
    "CancelToken": "tokenarium.backend.runs.events",
    "Cancelled": "tokenarium.backend.runs.events",
    "ClassMass": "tokenarium.backend.analysis.classes",
    "Comparison": "tokenarium.backend.analysis.compare",
    "Dimension": "tokenarium.backend.analysis.sinks",
    "Drafter": "tokenarium.backend.speculation.drafter",
    "DrafterSpec": "tokenarium.backend.speculation.request",
    "Event": "tokenarium.backend.runs.events",
    "Finished": "tokenarium.backend.runs.events",
    "FollowRequest": "tokenarium.backend.follow.request",
    "FollowResult": "tokenarium.backend.follow.result",
    "HeadEvidence": "tokenarium.backend.analysis.taxonomy",
    "HeadMeasure": "tokenarium.backend.analysis.taxonomy",
    "HeartbeatRequest": "tokenarium.backend.heartbeat.request",
    "HeartbeatResult": "tokenarium.backend.heartbeat.result",
    "Intervention": "tokenarium.backend.interventions.declaration",
    "InterventionRequest": "tokenarium.backend.interventions.request",
    "InterventionResult": "tokenarium.backend.interventions.result",
    "KINDS": "tokenarium.backend.cache.token_roles",
    "LABEL_RULES": "tokenarium.backend.analysis.labels",
    "LATER_QUERIES": "tokenarium.backend.analysis.sinks",
    "Lab": "tokenarium.backend.runs.lab",
    "LabelRule": "tokenarium.backend.analysis.labels",
    "Levels": "tokenarium.backend.speculation.summary",
    "MEASURES": "tokenarium.backend.analysis.taxonomy",
    "ModelInfo": "tokenarium.backend.models.info",
    "ModelRequest": "tokenarium.backend.runs.request",
    "Pace": "tokenarium.backend.speculation.summary",
    "Pair": "tokenarium.backend.speculation.matrix",
    "Partial": "tokenarium.backend.runs.events",
    "PointRequest": "tokenarium.backend.benchmark.sweep.request",
    "Policy": "tokenarium.backend.cache.policy",
    "PolicyRun": "tokenarium.backend.cache.result",
    "PolicySpec": "tokenarium.backend.cache.request",
    "ProbeRequest": "tokenarium.backend.probe.request",
    "ProbeResult": "tokenarium.backend.probe.result",
    "Progress": "tokenarium.backend.runs.events",
    "Protected": "tokenarium.backend.cache.token_roles",
    "Quantity": "tokenarium.backend.runs.result",
    "Queued": "tokenarium.backend.runs.events",
    "REASONS": "tokenarium.backend.speculation.node_schema",
    "RegionRequest": "tokenarium.backend.region.request",
    "RegionResult": "tokenarium.backend.region.result",
    "RepeatProbe": "tokenarium.backend.analysis.taxonomy",
    "Request": "tokenarium.backend.runs.request",
    "Result": "tokenarium.backend.runs.result",
    "Retold": "tokenarium.backend.speculation.replay",
    "Rule": "tokenarium.backend.speculation.rule",
    "RuleSpec": "tokenarium.backend.speculation.request",
    "Run": "tokenarium.backend.runs.run",
    "STATUSES": "tokenarium.backend.speculation.node_schema",
    "Scores": "tokenarium.backend.cache.result",
    "Settings": "tokenarium.backend.settings",
    "Share": "tokenarium.backend.speculation.summary",
    "Sink": "tokenarium.backend.analysis.sinks",
    "SpeculateEstimate": "tokenarium.backend.speculation.estimate",
    "SpeculateRequest": "tokenarium.backend.speculation.request",
    "SpeculationResult": "tokenarium.backend.speculation.result",
    "SweepEstimate": "tokenarium.backend.benchmark.sweep.estimate",
    "SweepRequest": "tokenarium.backend.benchmark.sweep.request",
    "SweepResult": "tokenarium.backend.benchmark.sweep.result",
    "Task": "tokenarium.backend.benchmark.task",
    "TextRequest": "tokenarium.backend.runs.request",
    "TraceRequest": "tokenarium.backend.trace.request",
    "TraceResult": "tokenarium.backend.trace.result",
    "UserError": "tokenarium.backend.errors",
    "acceptance_vector": "tokenarium.backend.speculation.summary",
    "accumulated_chance": "tokenarium.backend.analysis.heavy",
    "accumulated_mass": "tokenarium.backend.analysis.heavy",
    "accumulated_noise": "tokenarium.backend.analysis.noise",
    "accumulated_noise_by_layer": "tokenarium.backend.analysis.noise",
    "became": "tokenarium.backend.speculation.summary",
    "by_depth": "tokenarium.backend.speculation.summary",
    "by_entropy": "tokenarium.backend.speculation.summary",
    "by_rank": "tokenarium.backend.speculation.summary",
    "calibration": "tokenarium.backend.speculation.summary",
    "chance_overlap": "tokenarium.backend.analysis.heavy",
    "chosen_mean": "tokenarium.backend.analysis.heavy",
    "compare": "tokenarium.backend.analysis.compare",
    "coverage": "tokenarium.backend.analysis.heavy",
    "distance_noise": "tokenarium.backend.analysis.noise",
    "entropy_noise": "tokenarium.backend.analysis.noise",
    "expected_tokens": "tokenarium.backend.speculation.sequoia",
    "find_sinks": "tokenarium.backend.analysis.sinks",
    "head_labels": "tokenarium.backend.analysis.labels",
    "head_measures": "tokenarium.backend.analysis.taxonomy",
    "heaviest": "tokenarium.backend.analysis.heavy",
    "held_by_heaviest": "tokenarium.backend.analysis.heavy",
    "kinds": "tokenarium.backend.cache.token_roles",
    "known_mean": "tokenarium.backend.analysis.heavy",
    "levels": "tokenarium.backend.speculation.summary",
    "mass_by_class": "tokenarium.backend.analysis.classes",
    "optimal_tree": "tokenarium.backend.speculation.sequoia",
    "over_median": "tokenarium.backend.analysis.sinks",
    "over_neighbours": "tokenarium.backend.analysis.neighbours",
    "overlap": "tokenarium.backend.analysis.heavy",
    "pace": "tokenarium.backend.speculation.summary",
    "protected": "tokenarium.backend.cache.token_roles",
    "received_noise": "tokenarium.backend.analysis.noise",
    "received_noise_by_layer": "tokenarium.backend.analysis.noise",
    "retold": "tokenarium.backend.speculation.replay",
    "seen_mass": "tokenarium.backend.analysis.sinks",
    "sink_rate": "tokenarium.backend.analysis.sinks",
    "sink_scores": "tokenarium.backend.analysis.sinks",
    "times_noise": "tokenarium.backend.analysis.heavy",
    "token_classes": "tokenarium.backend.analysis.classes",
    "token_difference": "tokenarium.backend.analysis.compare",
    "tree_rows": "tokenarium.backend.speculation.replay",
}

__all__ = [
    "CLASSES",
    "COVERAGE_SHARES",
    "KINDS",
    "LABEL_RULES",
    "LATER_QUERIES",
    "MEASURES",
    "REASONS",
    "STATUSES",
    "Biases",
    "CacheEstimate",
    "CacheRequest",
    "CacheResult",
    "CancelToken",
    "Cancelled",
    "ClassMass",
    "Comparison",
    "Dimension",
    "Drafter",
    "DrafterSpec",
    "Event",
    "Finished",
    "FollowRequest",
    "FollowResult",
    "HeadEvidence",
    "HeadMeasure",
    "HeartbeatRequest",
    "HeartbeatResult",
    "Intervention",
    "InterventionRequest",
    "InterventionResult",
    "Lab",
    "LabelRule",
    "Levels",
    "ModelInfo",
    "ModelRequest",
    "Pace",
    "Pair",
    "Partial",
    "PointRequest",
    "Policy",
    "PolicyRun",
    "PolicySpec",
    "ProbeRequest",
    "ProbeResult",
    "Progress",
    "Protected",
    "Quantity",
    "Queued",
    "RegionRequest",
    "RegionResult",
    "RepeatProbe",
    "Request",
    "Result",
    "Retold",
    "Rule",
    "RuleSpec",
    "Run",
    "Scores",
    "Settings",
    "Share",
    "Sink",
    "SpeculateEstimate",
    "SpeculateRequest",
    "SpeculationResult",
    "SweepEstimate",
    "SweepRequest",
    "SweepResult",
    "Task",
    "TextRequest",
    "TraceRequest",
    "TraceResult",
    "UserError",
    "acceptance_vector",
    "accumulated_chance",
    "accumulated_mass",
    "accumulated_noise",
    "accumulated_noise_by_layer",
    "became",
    "by_depth",
    "by_entropy",
    "by_rank",
    "calibration",
    "chance_overlap",
    "chosen_mean",
    "compare",
    "coverage",
    "distance_noise",
    "entropy_noise",
    "expected_tokens",
    "find_sinks",
    "head_labels",
    "head_measures",
    "heaviest",
    "held_by_heaviest",
    "kinds",
    "known_mean",
    "levels",
    "mass_by_class",
    "optimal_tree",
    "over_median",
    "over_neighbours",
    "overlap",
    "pace",
    "protected",
    "received_noise",
    "received_noise_by_layer",
    "retold",
    "seen_mass",
    "sink_rate",
    "sink_scores",
    "times_noise",
    "token_classes",
    "token_difference",
    "tree_rows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'backend' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)

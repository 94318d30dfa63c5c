"""The engine behind the page: one facade, ``Lab``, and the types it takes and returns.

Names load on first use, so that kernels and instruments import without SQL, and a run that comes
from the cache needs neither torch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backend.analysis.classes import CLASSES, ClassMass, mass_by_class, token_classes
    from backend.analysis.compare import Comparison, compare, token_difference
    from backend.analysis.heavy import (
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
    from backend.analysis.labels import LABEL_RULES, LabelRule, head_labels
    from backend.analysis.neighbours import over_neighbours
    from backend.analysis.noise import (
        accumulated_noise,
        accumulated_noise_by_layer,
        distance_noise,
        entropy_noise,
        received_noise,
        received_noise_by_layer,
    )
    from backend.analysis.sinks import (
        LATER_QUERIES,
        Dimension,
        Sink,
        find_sinks,
        over_median,
        seen_mass,
        sink_rate,
        sink_scores,
    )
    from backend.analysis.taxonomy import (
        MEASURES,
        HeadEvidence,
        HeadMeasure,
        RepeatProbe,
        head_measures,
    )
    from backend.errors import UserError
    from backend.events import Cancelled, CancelToken, Event, Finished, Partial, Progress, Queued
    from backend.eviction.estimate import CacheEstimate
    from backend.eviction.kinds import KINDS, Protected, kinds, protected
    from backend.eviction.policy import Policy
    from backend.eviction.request import CacheRequest, PolicySpec
    from backend.eviction.result import CacheResult, PolicyRun, Scores
    from backend.eviction.task import Task
    from backend.follow.request import FollowRequest
    from backend.follow.result import FollowResult
    from backend.heartbeat.request import HeartbeatRequest
    from backend.heartbeat.result import HeartbeatResult
    from backend.interventions.declaration import Intervention
    from backend.interventions.request import InterventionRequest
    from backend.interventions.result import InterventionResult
    from backend.lab import Lab
    from backend.model_info import ModelInfo
    from backend.probe.request import ProbeRequest
    from backend.probe.result import ProbeResult
    from backend.region.request import RegionRequest
    from backend.region.result import RegionResult
    from backend.requests import ModelRequest, Request, TextRequest
    from backend.results import Quantity, Result
    from backend.run import Run
    from backend.settings import Settings
    from backend.speculation.drafter import Drafter
    from backend.speculation.estimate import SpeculateEstimate
    from backend.speculation.matrix import Pair
    from backend.speculation.records import REASONS, STATUSES
    from backend.speculation.replay import Retold, retold, tree_rows
    from backend.speculation.request import DrafterSpec, RuleSpec, SpeculateRequest
    from backend.speculation.result import SpeculationResult
    from backend.speculation.rule import Rule
    from backend.speculation.sequoia import expected_tokens, optimal_tree
    from backend.speculation.summary import (
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
    from backend.speculation.teaching import Biases
    from backend.sweep.estimate import SweepEstimate
    from backend.sweep.request import PointRequest, SweepRequest
    from backend.sweep.result import SweepResult
    from backend.trace.request import TraceRequest
    from backend.trace.result import TraceResult

_HOME = {
    "Biases": "backend.speculation.teaching",
    "CLASSES": "backend.analysis.classes",
    "COVERAGE_SHARES": "backend.analysis.heavy",
    "CacheEstimate": "backend.eviction.estimate",
    "CacheRequest": "backend.eviction.request",
    "CacheResult": "backend.eviction.result",
    "CancelToken": "backend.events",
    "Cancelled": "backend.events",
    "ClassMass": "backend.analysis.classes",
    "Comparison": "backend.analysis.compare",
    "Dimension": "backend.analysis.sinks",
    "Drafter": "backend.speculation.drafter",
    "DrafterSpec": "backend.speculation.request",
    "Event": "backend.events",
    "Finished": "backend.events",
    "FollowRequest": "backend.follow.request",
    "FollowResult": "backend.follow.result",
    "HeadEvidence": "backend.analysis.taxonomy",
    "HeadMeasure": "backend.analysis.taxonomy",
    "HeartbeatRequest": "backend.heartbeat.request",
    "HeartbeatResult": "backend.heartbeat.result",
    "Intervention": "backend.interventions.declaration",
    "InterventionRequest": "backend.interventions.request",
    "InterventionResult": "backend.interventions.result",
    "KINDS": "backend.eviction.kinds",
    "LABEL_RULES": "backend.analysis.labels",
    "LATER_QUERIES": "backend.analysis.sinks",
    "Lab": "backend.lab",
    "LabelRule": "backend.analysis.labels",
    "Levels": "backend.speculation.summary",
    "MEASURES": "backend.analysis.taxonomy",
    "ModelInfo": "backend.model_info",
    "ModelRequest": "backend.requests",
    "Pace": "backend.speculation.summary",
    "Pair": "backend.speculation.matrix",
    "Partial": "backend.events",
    "PointRequest": "backend.sweep.request",
    "Policy": "backend.eviction.policy",
    "PolicyRun": "backend.eviction.result",
    "PolicySpec": "backend.eviction.request",
    "ProbeRequest": "backend.probe.request",
    "ProbeResult": "backend.probe.result",
    "Progress": "backend.events",
    "Protected": "backend.eviction.kinds",
    "Quantity": "backend.results",
    "Queued": "backend.events",
    "REASONS": "backend.speculation.records",
    "RegionRequest": "backend.region.request",
    "RegionResult": "backend.region.result",
    "RepeatProbe": "backend.analysis.taxonomy",
    "Request": "backend.requests",
    "Result": "backend.results",
    "Retold": "backend.speculation.replay",
    "Rule": "backend.speculation.rule",
    "RuleSpec": "backend.speculation.request",
    "Run": "backend.run",
    "STATUSES": "backend.speculation.records",
    "Scores": "backend.eviction.result",
    "Settings": "backend.settings",
    "Share": "backend.speculation.summary",
    "Sink": "backend.analysis.sinks",
    "SpeculateEstimate": "backend.speculation.estimate",
    "SpeculateRequest": "backend.speculation.request",
    "SpeculationResult": "backend.speculation.result",
    "SweepEstimate": "backend.sweep.estimate",
    "SweepRequest": "backend.sweep.request",
    "SweepResult": "backend.sweep.result",
    "Task": "backend.eviction.task",
    "TextRequest": "backend.requests",
    "TraceRequest": "backend.trace.request",
    "TraceResult": "backend.trace.result",
    "UserError": "backend.errors",
    "acceptance_vector": "backend.speculation.summary",
    "accumulated_chance": "backend.analysis.heavy",
    "accumulated_mass": "backend.analysis.heavy",
    "accumulated_noise": "backend.analysis.noise",
    "accumulated_noise_by_layer": "backend.analysis.noise",
    "became": "backend.speculation.summary",
    "by_depth": "backend.speculation.summary",
    "by_entropy": "backend.speculation.summary",
    "by_rank": "backend.speculation.summary",
    "calibration": "backend.speculation.summary",
    "chance_overlap": "backend.analysis.heavy",
    "chosen_mean": "backend.analysis.heavy",
    "compare": "backend.analysis.compare",
    "coverage": "backend.analysis.heavy",
    "distance_noise": "backend.analysis.noise",
    "entropy_noise": "backend.analysis.noise",
    "expected_tokens": "backend.speculation.sequoia",
    "find_sinks": "backend.analysis.sinks",
    "head_labels": "backend.analysis.labels",
    "head_measures": "backend.analysis.taxonomy",
    "heaviest": "backend.analysis.heavy",
    "held_by_heaviest": "backend.analysis.heavy",
    "kinds": "backend.eviction.kinds",
    "known_mean": "backend.analysis.heavy",
    "levels": "backend.speculation.summary",
    "mass_by_class": "backend.analysis.classes",
    "optimal_tree": "backend.speculation.sequoia",
    "over_median": "backend.analysis.sinks",
    "over_neighbours": "backend.analysis.neighbours",
    "overlap": "backend.analysis.heavy",
    "pace": "backend.speculation.summary",
    "protected": "backend.eviction.kinds",
    "received_noise": "backend.analysis.noise",
    "received_noise_by_layer": "backend.analysis.noise",
    "retold": "backend.speculation.replay",
    "seen_mass": "backend.analysis.sinks",
    "sink_rate": "backend.analysis.sinks",
    "sink_scores": "backend.analysis.sinks",
    "times_noise": "backend.analysis.heavy",
    "token_classes": "backend.analysis.classes",
    "token_difference": "backend.analysis.compare",
    "tree_rows": "backend.speculation.replay",
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

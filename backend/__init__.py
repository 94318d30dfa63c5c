"""The engine behind the page: one facade, ``Lab``, and the types it takes and returns.

Names load on first use, so that kernels and instruments import without SQL, and a run that comes
from the cache needs neither torch nor transformers.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The public names, each once: type checkers read these imports, ``_homes`` makes the rest of them.
if TYPE_CHECKING:
    from tokenarium.backend.ablation.estimate import AblateEstimate
    from tokenarium.backend.ablation.request import AblateRequest
    from tokenarium.backend.ablation.result import AblateResult
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
    from tokenarium.backend.analysis.intervals import LEAST_SAMPLES, Interval, batch_means
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
    from tokenarium.backend.analysis.segmentation import word_and_sentence_starts
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
    from tokenarium.backend.attribution.agreement import rank_correlation
    from tokenarium.backend.attribution.attributor import Attributor
    from tokenarium.backend.attribution.check import Faithfulness
    from tokenarium.backend.attribution.estimate import AttributeEstimate
    from tokenarium.backend.attribution.explain import explain
    from tokenarium.backend.attribution.request import AttributeRequest
    from tokenarium.backend.attribution.result import AttributeResult
    from tokenarium.backend.benchmark.bounds import median_interval, share_at_least
    from tokenarium.backend.benchmark.sweep.choice import (
        CONFIDENCE,
        QUALITY_MEASURES,
        BudgetChoice,
        ChosenBudget,
        QualityMeasure,
        choose_budget,
        usual_line,
    )
    from tokenarium.backend.benchmark.sweep.estimate import SweepEstimate
    from tokenarium.backend.benchmark.sweep.request import PointRequest, SweepRequest
    from tokenarium.backend.benchmark.sweep.result import SweepResult
    from tokenarium.backend.benchmark.sweep.settings import BudgetSettings, budget_settings
    from tokenarium.backend.benchmark.task import Task
    from tokenarium.backend.cache.apply import AppliedPolicy, apply
    from tokenarium.backend.cache.decision_quantities import NEVER, NO_HEAD
    from tokenarium.backend.cache.estimate import CacheEstimate
    from tokenarium.backend.cache.policy import Policy
    from tokenarium.backend.cache.policy_run import PolicyRun, Scores, Searched
    from tokenarium.backend.cache.request import CacheRequest, PolicySpec
    from tokenarium.backend.cache.result import CacheResult
    from tokenarium.backend.cache.terms import LAYERS_ALIKE
    from tokenarium.backend.cache.token_roles import (
        KINDS,
        Protected,
        first_whole,
        kinds,
        protected,
    )
    from tokenarium.backend.cache.verdict import CacheVerdict, Judged, cache_verdict
    from tokenarium.backend.classes.classes import Classes, ClassTable, StartedClass, class_code
    from tokenarium.backend.comparison.compare import comparable, compare_runs, refuse_ids
    from tokenarium.backend.comparison.result import Largest, PlaceMeasure, RunComparison
    from tokenarium.backend.comparison.spans import Alignment, Tokens, align
    from tokenarium.backend.cost.evidence import Estimate
    from tokenarium.backend.decoding.constraint import Constraint
    from tokenarium.backend.decoding.decoded_lane import DecodedLane
    from tokenarium.backend.decoding.drawing import Drawing
    from tokenarium.backend.decoding.estimate import DecodeEstimate
    from tokenarium.backend.decoding.fork import fork
    from tokenarium.backend.decoding.journal import ACTIONS, MEANINGS
    from tokenarium.backend.decoding.reliability import LEAST_TRIALS, Reliability
    from tokenarium.backend.decoding.request import (
        ConstraintSpec,
        DecodeRequest,
        InterventionSpec,
        StrategySpec,
    )
    from tokenarium.backend.decoding.result import DecodeResult
    from tokenarium.backend.decoding.strategy import Strategy
    from tokenarium.backend.editing.estimate import EditEstimate
    from tokenarium.backend.editing.request import EditRequest, TextEdit
    from tokenarium.backend.editing.result import EditResult
    from tokenarium.backend.environment import measured_here
    from tokenarium.backend.errors import NoAnswer, UserError, in_words
    from tokenarium.backend.follow.request import FollowRequest
    from tokenarium.backend.follow.result import FollowResult
    from tokenarium.backend.head_corpus.corpus import (
        MEASURED,
        QUANTILES,
        HeadCorpus,
        MeasuredOn,
        measure_definition,
        measure_title,
    )
    from tokenarium.backend.head_corpus.stored import measured_models, usual_heads
    from tokenarium.backend.head_corpus.traced import trace_measures
    from tokenarium.backend.heartbeat.request import HeartbeatRequest
    from tokenarium.backend.heartbeat.result import HeartbeatResult
    from tokenarium.backend.imports.lengths import (
        Definition,
        Totals,
        definitions,
        totals_of_run,
    )
    from tokenarium.backend.imports.reader import Reader
    from tokenarium.backend.imports.request import ImportRequest
    from tokenarium.backend.imports.result import SOURCES, ImportResult
    from tokenarium.backend.imports.schema import RecordedLine
    from tokenarium.backend.interventions.declaration import Intervention
    from tokenarium.backend.interventions.request import InterventionRequest
    from tokenarium.backend.interventions.result import InterventionResult
    from tokenarium.backend.judging.judgement import Judgement
    from tokenarium.backend.judging.measure import Measure
    from tokenarium.backend.judging.request import JudgeRequest, MeasureSpec
    from tokenarium.backend.judging.result import JudgeResult
    from tokenarium.backend.lens.request import LensRequest
    from tokenarium.backend.lens.result import LensResult
    from tokenarium.backend.logprobs.request import LogprobsRequest
    from tokenarium.backend.models.default import DEFAULT_MODEL
    from tokenarium.backend.models.info import ModelInfo
    from tokenarium.backend.models.preselected import Preselected
    from tokenarium.backend.patching.estimate import PatchEstimate
    from tokenarium.backend.patching.request import PatchRequest
    from tokenarium.backend.patching.result import PatchResult
    from tokenarium.backend.probe.request import ProbeRequest
    from tokenarium.backend.probe.result import ProbeResult
    from tokenarium.backend.reduction.estimate import ReduceEstimate
    from tokenarium.backend.reduction.reduction import Reduction
    from tokenarium.backend.reduction.request import ReduceRequest, ReductionSpec
    from tokenarium.backend.reduction.result import ReduceResult
    from tokenarium.backend.region.request import RegionRequest
    from tokenarium.backend.region.result import RegionResult
    from tokenarium.backend.runs.computations import Computations
    from tokenarium.backend.runs.events import (
        Cancelled,
        CancelToken,
        Event,
        Finished,
        Partial,
        Progress,
        Queued,
    )
    from tokenarium.backend.runs.export import MOST_NUMBERS, as_json, as_tables, table_file
    from tokenarium.backend.runs.jobs import RunTicket
    from tokenarium.backend.runs.kind import Example, Kind
    from tokenarium.backend.runs.lab import Lab
    from tokenarium.backend.runs.message import Message
    from tokenarium.backend.runs.method import Method
    from tokenarium.backend.runs.notebook import lab_lines
    from tokenarium.backend.runs.packed import Packed
    from tokenarium.backend.runs.request import ModelRequest, Request, TextRequest
    from tokenarium.backend.runs.result import Quantity, Result
    from tokenarium.backend.runs.run import Run
    from tokenarium.backend.runs.visitor import Visitor, address_of
    from tokenarium.backend.settings import Settings
    from tokenarium.backend.speculation.apply import apply_drafter
    from tokenarium.backend.speculation.auditing.audit import Audit
    from tokenarium.backend.speculation.auditing.stored import audit
    from tokenarium.backend.speculation.drafter import Drafter
    from tokenarium.backend.speculation.earlier import earlier_tokens
    from tokenarium.backend.speculation.estimate import SpeculateEstimate
    from tokenarium.backend.speculation.exits import LONGEST, Exit, exits
    from tokenarium.backend.speculation.families import FAMILIES
    from tokenarium.backend.speculation.generate import SpeculativeGeneration
    from tokenarium.backend.speculation.matrix import Pair, RuleBiases, biases, pairs
    from tokenarium.backend.speculation.node_schema import REASONS, STATUSES
    from tokenarium.backend.speculation.replay import ReplayedRound, replay_round, tree_rows
    from tokenarium.backend.speculation.request import DrafterSpec, RuleSpec, SpeculateRequest
    from tokenarium.backend.speculation.result import SpeculationResult
    from tokenarium.backend.speculation.rule import Rule
    from tokenarium.backend.speculation.sequoia import expected_tokens, optimal_tree
    from tokenarium.backend.speculation.summary import (
        Levels,
        Pace,
        Share,
        acceptance_vector,
        by_depth,
        by_entropy,
        by_rank,
        calibration,
        levels,
        outcome_counts,
        pace,
    )
    from tokenarium.backend.speculation.verdict import SpeculationVerdict, speculation_verdict
    from tokenarium.backend.text_audit.request import AuditRequest, Sampling
    from tokenarium.backend.text_audit.result import AuditResult
    from tokenarium.backend.tokenization.characters_result import CharactersResult
    from tokenarium.backend.tokenization.counts import by_word, word_spans
    from tokenarium.backend.tokenization.domains import DomainComparison, DomainWord
    from tokenarium.backend.tokenization.extension import (
        ExtendedLanguage,
        Extension,
        portuguese_text,
    )
    from tokenarium.backend.tokenization.languages import Parallel, Premium, parallel_text
    from tokenarium.backend.tokenization.less_is_better import Epoch
    from tokenarium.backend.tokenization.mixture import Mixture
    from tokenarium.backend.tokenization.new_tokens.request import (
        InitialiserSpec,
        NewTokensRequest,
    )
    from tokenarium.backend.tokenization.new_tokens.result import NewTokensResult
    from tokenarium.backend.tokenization.noise import Ratio, Stability
    from tokenarium.backend.tokenization.request import (
        CharactersRequest,
        NextByteRequest,
        SegmenterSpec,
        TokenizeRequest,
    )
    from tokenarium.backend.tokenization.result import NextByteResult, TokenizeResult
    from tokenarium.backend.tokenization.samples import Sample
    from tokenarium.backend.tokenization.segmenter import Segmenter
    from tokenarium.backend.tokenization.size_curves import SizeCurve
    from tokenarium.backend.tokenization.training import Point
    from tokenarium.backend.tokenization.turkish import TurkishCount, TurkishWords
    from tokenarium.backend.tokenization.vocabulary import Vocabulary
    from tokenarium.backend.trace.estimate import TraceEstimate
    from tokenarium.backend.trace.request import TraceRequest
    from tokenarium.backend.trace.result import TraceResult
    from tokenarium.storage.contents import OldestRun, StoreContents
    from tokenarium.storage.record import ListedRun


def _homes() -> dict[str, str]:
    """Return the module of every public name: what the imports above say."""
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {name.name: node.module or "" for node in imports for name in node.names}


_HOMES = _homes()
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tokenarium' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

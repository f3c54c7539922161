"""What may be tried: candidates, axes, rules and the space they span.

Pure values: this package knows nothing of torch, ONNX or Optuna.
"""

from paretune.spaces.axis import AXIS_NAMES, ORDERED_AXES, Axis
from paretune.spaces.candidate import (
    DEFAULT_RUNNER,
    REFERENCE,
    BuildSpec,
    Candidate,
    RunSpec,
    split_target,
)
from paretune.spaces.digest import canonical_json, digest
from paretune.spaces.errors import (
    ConfigError,
    DeviceBusyError,
    ParetuneError,
    SpaceError,
    StoreError,
    StudyError,
    WorkloadError,
)
from paretune.spaces.graph_optimization import GraphOptimization
from paretune.spaces.quantization import PROGRAM_QUANTIZATIONS, Quantization
from paretune.spaces.registry import Reference, Registry, resolve
from paretune.spaces.rule import Forbid, Rule, ThreadLimit, whole_layers
from paretune.spaces.space import BASELINE_VALUES, OPTIONAL_AXES, SearchSpace

__all__ = [
    "AXIS_NAMES",
    "BASELINE_VALUES",
    "DEFAULT_RUNNER",
    "OPTIONAL_AXES",
    "ORDERED_AXES",
    "PROGRAM_QUANTIZATIONS",
    "REFERENCE",
    "Axis",
    "BuildSpec",
    "Candidate",
    "ConfigError",
    "DeviceBusyError",
    "Forbid",
    "GraphOptimization",
    "ParetuneError",
    "Quantization",
    "Reference",
    "Registry",
    "Rule",
    "RunSpec",
    "SearchSpace",
    "SpaceError",
    "StoreError",
    "StudyError",
    "ThreadLimit",
    "WorkloadError",
    "canonical_json",
    "digest",
    "resolve",
    "split_target",
    "whole_layers",
]

"""The search space: candidates, axes and rules.

Pure values: this package knows nothing of torch, ONNX or Optuna.
"""

from paretune.spaces.axes import AXES, REFERENCE, AxisRecord, Value
from paretune.spaces.axis import AXIS_NAMES, Axis
from paretune.spaces.candidate import (
    DEFAULT_RUNNER,
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
    RecordError,
    ServiceError,
    SpaceError,
    StoreError,
    StudyError,
    WorkloadError,
)
from paretune.spaces.graph_optimization import GraphOptimization
from paretune.spaces.quantization import Quantization
from paretune.spaces.registry import Reference, Registry, resolve
from paretune.spaces.rule import Forbid, Rule, ThreadLimit, whole_layers
from paretune.spaces.scheme import SCHEMES, SchemeRecord
from paretune.spaces.space import BASELINE_VALUES, OPTIONAL_AXES, SearchSpace

__all__ = [
    "AXES",
    "AXIS_NAMES",
    "BASELINE_VALUES",
    "DEFAULT_RUNNER",
    "OPTIONAL_AXES",
    "REFERENCE",
    "SCHEMES",
    "Axis",
    "AxisRecord",
    "BuildSpec",
    "Candidate",
    "ConfigError",
    "DeviceBusyError",
    "Forbid",
    "GraphOptimization",
    "ParetuneError",
    "Quantization",
    "RecordError",
    "Reference",
    "Registry",
    "Rule",
    "RunSpec",
    "SchemeRecord",
    "SearchSpace",
    "ServiceError",
    "SpaceError",
    "StoreError",
    "StudyError",
    "ThreadLimit",
    "Value",
    "WorkloadError",
    "canonical_json",
    "digest",
    "resolve",
    "split_target",
    "whole_layers",
]

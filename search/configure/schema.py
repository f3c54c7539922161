"""The study file: its schema, checked at the boundary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from paretune.runners.metric import Direction, metric_of
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.search.configure.measurement_config import ConfirmationConfig, MeasurementConfig
from paretune.search.configure.section import (
    Duration,
    Limit,
    Positive,
    Section,
    known_name,
)
from paretune.search.configure.space_config import SpaceConfig
from paretune.search.configure.wish_config import WishConfig
from paretune.search.record.objective import Constraint, Objective
from paretune.search.record.under_way import PLACE
from paretune.spaces import (
    DEFAULT_RUNNER,
    ConfigError,
    Forbid,
)

LatencyFirst = Literal["auto", "always", "never"]


class RuleConfig(Section):
    """A rule against combinations that are not worth trying: written here, or in Python."""

    forbid: dict[StrictStr, Any] | None = Field(
        None, description="AXIS: value, list of values, or a comparison such as '> 0.5'"
    )
    reason: StrictStr | None = Field(None, description="the reason, shown to people")
    function: StrictStr | None = Field(
        None,
        description="FILE.py:NAME of a function from a candidate to a reason against it, or None",
    )

    @model_validator(mode="after")
    def _is_one_kind(self) -> RuleConfig:
        if (self.forbid is None) == (self.function is None):
            raise ValueError("a rule has either `forbid` with a `reason`, or a `function`")
        if self.forbid is not None:
            if not self.reason:
                raise ValueError("a `forbid` rule needs a `reason`")
            Forbid(self.forbid, self.reason)
        return self


class RunnerConfig(Section):
    """A runtime, optionally in an interpreter of its own."""

    runtime: StrictStr = Field(DEFAULT_RUNNER, description="the runtime")
    python: StrictStr | None = Field(None, description="path of the interpreter")
    requirements: list[StrictStr] | None = Field(
        None, description="or packages to install into an environment that is made once"
    )
    provider_options: dict[StrictStr, dict[StrictStr, StrictStr]] = Field(
        {}, description="options of execution providers: PROVIDER: {key: value}"
    )
    provider_libraries: dict[StrictStr, StrictStr] = Field(
        {}, description="plug-in execution providers of ONNX Runtime: NAME: path of the library"
    )

    @field_validator("runtime")
    @classmethod
    def _is_known(cls, name: str) -> str:
        return known_name(name, RUNTIMES)

    @model_validator(mode="after")
    def _is_one_kind(self) -> RunnerConfig:
        if self.python is not None and self.requirements is not None:
            raise ValueError("a runner has either `python` or `requirements`, not both")
        if self.provider_libraries and not RUNTIMES.get(self.runtime).takes_libraries:
            takers = " and ".join(each.name for each in RUNTIMES if each.takes_libraries)
            raise ValueError(f"only {takers} takes provider_libraries; got {self.runtime}")
        return self


class ObjectiveConfig(Section):
    """A recorded metric to optimize."""

    metric: StrictStr = Field(description="name of a recorded metric")
    direction: Direction | None = Field(
        None, description="default: the metric's natural direction; quality is always maximized"
    )

    def objective(self) -> Objective:
        """Return the objective."""
        return Objective(self.metric, self.direction or metric_of(self.metric).direction)


class ConstraintConfig(Section):
    """A limit on a recorded metric."""

    metric: StrictStr = Field(description="name of a recorded metric")
    min: Limit | None = Field(None, description="minimum")
    max: Limit | None = Field(None, description="maximum")

    @model_validator(mode="after")
    def _has_a_limit(self) -> ConstraintConfig:
        if self.min is None and self.max is None:
            raise ValueError("a constraint needs `min` or `max`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min:g}) is above max ({self.max:g}): no value can fit")
        return self

    def constraint(self) -> Constraint:
        """Return the constraint."""
        return Constraint(self.metric, self.min, self.max)


class StrategyConfig(Section):
    """How candidates are chosen."""

    sampler: Literal["auto", "frontier", "gp", "tpe", "nsga2", "random", "exhaustive"] = Field(
        "auto",
        description="frontier (and auto): maximum expected gain of hypervolume for the cost; gp, "
        "tpe, nsga2, random: Optuna's; exhaustive: every candidate, build by build",
    )
    warm_start: StrictStr | None = Field(
        None,
        description="file of an earlier study: frontier learns from its measurements, the other "
        "samplers try its frontier first",
    )
    seed: Annotated[StrictInt, Field(ge=0, lt=2**31)] = Field(0, description="seed of the sampler")
    latency_first: LatencyFirst = Field(
        "auto", description="whether to time candidates before training: auto, always, never"
    )


class BudgetConfig(Section):
    """When the study ends."""

    trials: Positive = Field(50, description="trials in the whole study, the baseline included")
    hours: Duration | None = Field(None, description="wall-clock hours of one `paretune search`")
    build_workers: Positive | None = Field(
        None, description="builds in parallel; default: one per card to train on, or per two cores"
    )
    build_timeout_s: Duration = Field(3600.0, description="deadline per build")
    store_gb: Duration | None = Field(
        None,
        description="size limit of the artifact store; files that are cheap to rebuild go first",
    )
    identical_failures: Positive = Field(
        5, description="stop if this many first trials all fail for the same reason"
    )
    give_up_after: Positive = Field(
        3, description="drop combinations after this many failures for one reason and no success"
    )
    build_memory_gb: Duration | None = Field(
        None, description="memory limit per build, for data; default: 0.9 of the memory"
    )


class StudyConfig(Section):
    """A study file."""

    name: Annotated[StrictStr, Field(pattern=r"^[\w.-]+$")] = Field(
        description="the study's name: letters, digits, '_', '-' and '.'"
    )
    workload: StrictStr = Field(description="FILE.py:CLASS, relative to the study file")
    plugins: list[StrictStr] = Field(
        [],
        description="Python files, relative to the study file, that register runtimes, formats, "
        "schemes, axes or targets; they are run first, in every process that builds",
    )
    space: SpaceConfig = Field(description="the search space")
    runners: dict[StrictStr, RunnerConfig] = Field(
        {},
        description="runners besides those named as their runtime (onnxruntime, openvino, "
        "pytorch), by the name used in execution_provider",
    )
    rules: list[RuleConfig] = Field([], description="combinations that are not worth trying")
    objectives: Annotated[list[ObjectiveConfig], Field(min_length=1)] | None = Field(
        None, description="default: quality up, latency_p95_ms down, throughput up"
    )
    constraints: list[ConstraintConfig] = Field([], description="limits on metrics")
    wish: WishConfig = Field(
        WishConfig(), description="what you want to pick; it steers the search"
    )
    strategy: StrategyConfig = Field(StrategyConfig(), description="how to choose candidates")
    budget: BudgetConfig = Field(BudgetConfig(), description="when the study ends")
    measurement: MeasurementConfig = Field(
        MeasurementConfig(), description="how to measure candidates"
    )
    confirmation: ConfirmationConfig = Field(
        ConfirmationConfig(), description="how to measure the frontier again at the end"
    )
    output_dir: StrictStr = Field(
        "results", description="folder for everything the study writes, relative to the study file"
    )
    store: StrictStr | None = Field(
        None,
        description="the artifact store: a folder, relative to the study file, or a URL that "
        "machines share, such as s3://bucket/prefix (docs/fleet.md); default: store in output_dir",
    )
    storage: StrictStr | None = Field(
        None,
        description="Optuna storage URL; default: SQLite in output_dir. One process owns a study; "
        "others help it by `paretune search --join`, which needs PostgreSQL",
    )
    devices: list[StrictStr] = Field(
        [],
        description="the devices of a fleet to measure on (`paretune search --scheduler`); several "
        "get a study each",
    )
    tracking_uri: StrictStr | None = Field(
        None, description="MLflow tracking URI; default: SQLite in output_dir"
    )
    tracking: StrictBool = Field(True, description="whether to log to MLflow")

    @field_validator("wish")
    @classmethod
    def _is_of_the_space(cls, wish: WishConfig, info: Any) -> WishConfig:
        space = info.data.get("space")
        if space is None:
            return wish  # the mistakes of the space itself are reported
        try:
            wish.to_wish(space.batch_size, {})
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return wish


class StudyPaths:
    """The paths of a study.

    Args:
        config: The study file's content.
        path: The study file.

    Attributes:
        place: Number of the process among those on one host that search the study together; each
            has a lock and logs of its own.
    """

    def __init__(self, config: StudyConfig, path: Path) -> None:
        self.place = 1
        self._name = config.name
        self.study_file = path.resolve()
        self.folder = self.study_file.parent
        self.output = (self.folder / config.output_dir).resolve()
        is_url = config.store is not None and "://" in config.store
        self.store_url = config.store if is_url else None
        """The URL of the artifact store, whose cache the folder ``store`` is, if it has one."""
        own = None if is_url else config.store
        self.store = (self.folder / own).resolve() if own else self.output / "store"
        self.logs = self.output / "logs"
        self.artifacts = self.output / "mlartifacts"
        self.storage_url = self._url(config.storage) or f"sqlite:///{self.output / 'optuna.db'}"
        self.tracking_uri = (
            self._url(config.tracking_uri) or f"sqlite:///{self.output / 'mlflow.db'}"
        )

    @property
    def lock(self) -> Path:
        """Held by the process of this place."""
        return self.output / f"{self._own_name}.lock"

    @property
    def under_way(self) -> Path:
        """Names the trials that the process of this place builds and measures."""
        return self.output / f"{self._own_name}.running"

    @property
    def build_log(self) -> Path:
        """What the builds of the process of this place print."""
        return self.logs / f"{self._own_name}-build.log"

    @property
    def _own_name(self) -> str:
        return self._name if self.place == 1 else f"{self._name}{PLACE}{self.place}"

    def _url(self, url: str | None) -> str | None:
        """Return a URL whose SQLite file, if it names one, starts from the study's folder."""
        prefix = "sqlite:///"
        if url is None or not url.startswith(prefix):
            return url
        return f"{prefix}{(self.folder / url.removeprefix(prefix)).resolve()}"

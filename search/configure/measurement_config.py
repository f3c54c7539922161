"""The sections of the study file about measurements."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field, StrictBool, StrictInt, model_validator

from paretune.runners.runtimes.settings import CAREFUL, LoadSettings, MeasurementSettings, Scenario
from paretune.search.configure.section import Duration, Positive, Ratio, Section

_DEFAULTS = MeasurementSettings()


class LoadConfig(Section):
    """Load offered by MLPerf's LoadGen, in addition to the closed loop."""

    scenario: Scenario = Field(
        "server", description="server (queries arrive at a rate) or single_stream"
    )
    queries_per_s: Duration | None = Field(
        None, description="rate of `server`; a query is one call with the batch size"
    )
    seconds: Duration = Field(LoadSettings().seconds, description="seconds of load per launch")

    @model_validator(mode="after")
    def _has_a_rate(self) -> LoadConfig:
        if (self.scenario == "server") == (self.queries_per_s is None):
            raise ValueError("`server` needs queries_per_s; single_stream takes none")
        return self


class MeasurementConfig(Section):
    """How each candidate is measured."""

    launches: Positive = Field(
        _DEFAULTS.launches, description="minimum launches (fresh processes) per measurement"
    )
    max_launches: Positive | None = Field(
        None, description="maximum, added until the intervals are tight; default: `launches`"
    )
    p50_tolerance: Duration = Field(
        _DEFAULTS.p50_tolerance,
        description="relative half-width of the p50's interval that counts as tight",
    )
    p95_tolerance: Duration = Field(
        _DEFAULTS.p95_tolerance,
        description="relative half-width of the p95's interval that counts as tight",
    )
    idle_wait_s: Annotated[float, Field(strict=True, ge=0.0, le=1e6)] = Field(
        _DEFAULTS.idle_wait_s, description="maximum wait for an idle host"
    )
    extra_launches: Annotated[StrictInt, Field(ge=0)] = Field(
        _DEFAULTS.extra_launches, description="maximum replacements for disturbed launches"
    )
    warmup_seconds: Duration = Field(
        _DEFAULTS.warmup_seconds, description="maximum warm-up per launch"
    )
    min_seconds: Duration = Field(
        _DEFAULTS.min_seconds, description="minimum timed part per launch"
    )
    min_iterations: Positive = Field(
        _DEFAULTS.min_iterations,
        description="minimum timed calls per launch; more where a percentile needs them",
    )
    max_iterations: Positive = Field(
        _DEFAULTS.max_iterations, description="maximum timed calls per launch"
    )
    quality_samples: Positive | None = Field(
        None,
        description="samples of the validation split that judge a candidate during the search; "
        "default: all. Published points are judged on the whole test split",
    )
    timeout_s: Duration = Field(
        _DEFAULTS.timeout_s, description="deadline of a step of a launch: loading, or one call"
    )
    memory_limit_bytes: Positive | None = Field(
        None, description="memory limit per launch, for data; default: 0.9 of the memory"
    )
    fallback_tolerance: Ratio = Field(
        _DEFAULTS.fallback_tolerance,
        description="maximum share of the time (on a card, of the nodes) on another provider",
    )
    load: LoadConfig | None = Field(None, description="load to offer, for the load_… metrics")

    @model_validator(mode="after")
    def _counts_agree(self) -> MeasurementConfig:
        if self.min_iterations > self.max_iterations:
            raise ValueError(
                f"min_iterations ({self.min_iterations}) is above max_iterations "
                f"({self.max_iterations})"
            )
        if self.max_launches is not None and self.launches > self.max_launches:
            raise ValueError(
                f"launches ({self.launches}) is above max_launches ({self.max_launches})"
            )
        return self

    def settings(self) -> MeasurementSettings:
        """Return the settings for runners."""
        values = self.model_dump(exclude={"quality_samples"}) | {
            "max_launches": self.max_launches or self.launches,
            "load": self.load and LoadSettings(**self.load.model_dump()),
        }
        return MeasurementSettings(**values)


class ConfirmationConfig(Section):
    """How the frontier is measured again before it is published."""

    enabled: StrictBool = Field(True, description="whether a search ends with a confirmation")
    launches: Positive = Field(CAREFUL.launches, description="minimum launches per point")
    max_launches: Positive = Field(
        2 * CAREFUL.launches, description="maximum, added until the intervals are tight"
    )
    warmup_seconds: Duration = Field(
        CAREFUL.warmup_seconds, description="maximum warm-up per launch"
    )
    min_seconds: Duration = Field(CAREFUL.min_seconds, description="minimum timed part per launch")

    @model_validator(mode="after")
    def _counts_agree(self) -> ConfirmationConfig:
        if self.launches > self.max_launches:
            raise ValueError(
                f"launches ({self.launches}) is above max_launches ({self.max_launches})"
            )
        return self

    def settings(self, search: MeasurementSettings) -> MeasurementSettings:
        """Return the search's settings, changed where confirmation differs."""
        return replace(search, **self.model_dump(exclude={"enabled"}))

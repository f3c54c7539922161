"""The sections of the study file that say how much is measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field, StrictBool, StrictInt, model_validator

from paretune.runners.runtimes.settings import CAREFUL, LoadSettings, MeasurementSettings, Scenario
from paretune.search.configure.section import Duration, Positive, Ratio, Section

_DEFAULTS = MeasurementSettings()


class LoadConfig(Section):
    """Load offered by MLPerf's LoadGen, beside the closed loop."""

    scenario: Scenario = Field(
        "server", description="server (queries come at a rate) or single_stream"
    )
    queries_per_s: Duration | None = Field(
        None, description="rate of `server`; a query is one call of the batch size"
    )
    seconds: Duration = Field(LoadSettings().seconds, description="how long a launch offers load")

    @model_validator(mode="after")
    def _has_a_rate(self) -> LoadConfig:
        if (self.scenario == "server") == (self.queries_per_s is None):
            raise ValueError("`server` needs queries_per_s, and single_stream takes none")
        return self


class MeasurementConfig(Section):
    """How much is measured of each candidate."""

    launches: Positive = Field(
        _DEFAULTS.launches, description="fewest fresh processes that each time the artifact"
    )
    max_launches: Positive | None = Field(
        None, description="most of them, added until the intervals are tight; `launches` if unset"
    )
    p50_tolerance: Duration = Field(
        _DEFAULTS.p50_tolerance, description="relative half width of the p50's interval"
    )
    p95_tolerance: Duration = Field(
        _DEFAULTS.p95_tolerance, description="relative half width of the p95's interval"
    )
    idle_wait_s: Annotated[float, Field(strict=True, ge=0.0, le=1e6)] = Field(
        _DEFAULTS.idle_wait_s, description="how long to wait for an idle host"
    )
    extra_launches: Annotated[StrictInt, Field(ge=0)] = Field(
        _DEFAULTS.extra_launches, description="how many more may replace disturbed ones"
    )
    warmup_seconds: Duration = Field(
        _DEFAULTS.warmup_seconds, description="longest warm-up of a launch"
    )
    min_seconds: Duration = Field(
        _DEFAULTS.min_seconds, description="shortest timed part of a launch"
    )
    min_iterations: Positive = Field(
        _DEFAULTS.min_iterations, description="fewest timed calls of a launch"
    )
    max_iterations: Positive = Field(
        _DEFAULTS.max_iterations, description="most timed calls of a launch"
    )
    timeout_s: Duration = Field(_DEFAULTS.timeout_s, description="deadline of a launch")
    memory_limit_bytes: Positive | None = Field(
        None, description="most data that a launch may hold; by default 0.9 of the memory"
    )
    fallback_tolerance: Ratio = Field(
        _DEFAULTS.fallback_tolerance,
        description="largest share of the time that may run on another provider",
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
        values = self.model_dump() | {
            "max_launches": self.max_launches or self.launches,
            "load": self.load and LoadSettings(**self.load.model_dump()),
        }
        return MeasurementSettings(**values)


class ConfirmationConfig(Section):
    """How the frontier is measured again before it is published."""

    enabled: StrictBool = Field(True, description="whether a search ends with it")
    launches: Positive = Field(CAREFUL.launches, description="fewest fresh processes a point")
    max_launches: Positive = Field(
        2 * CAREFUL.launches, description="most of them, added until the intervals are tight"
    )
    warmup_seconds: Duration = Field(
        CAREFUL.warmup_seconds, description="longest warm-up of a launch"
    )
    min_seconds: Duration = Field(CAREFUL.min_seconds, description="shortest timed part")

    @model_validator(mode="after")
    def _counts_agree(self) -> ConfirmationConfig:
        if self.launches > self.max_launches:
            raise ValueError(
                f"launches ({self.launches}) is above max_launches ({self.max_launches})"
            )
        return self

    def settings(self, search: MeasurementSettings) -> MeasurementSettings:
        """Return the search's settings with what confirmation does otherwise."""
        return replace(search, **self.model_dump(exclude={"enabled"}))

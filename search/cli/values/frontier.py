"""What ``paretune frontier --json`` and ``paretune trial --json`` print."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from paretune.search.cli.values.base import Values


class FrontierPoint(Values):
    """A point of a frontier.

    Further keys, the same in every point: each axis of the search space by its name, such as
    `quantization` or `batch_size`; and each metric by its name, which ends in its unit, with the
    ends of its 95 % interval: `latency_p95_ms`, `latency_p95_ms_low`, `latency_p95_ms_high`.
    `device` is there only with `--for-each-device`.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    trial: int = Field(description="The trial's number; 0 is the baseline.")
    kind: str = Field(
        description="`published` (measured again on the test split), `searched` (the search's own, "
        "unconfirmed values), or `baseline` (shown for comparison, not on the frontier)."
    )
    times_faster: float | None = Field(
        description="The baseline's latency ÷ this one's, per call: above 1 is faster."
    )
    throughput_ratio: float | None = Field(
        description="Its samples per second ÷ the baseline's: above 1 does more."
    )
    quality_change: float | None = Field(
        description="Its quality − the baseline's: negative is a loss."
    )
    times_smaller: float | None = Field(
        description="The baseline's file size ÷ its own: above 1 is smaller."
    )
    probability: float | None = Field(
        description="Probability that no confirmed point dominates it; null if not published."
    )
    ties: list[int] = Field(description="Trials that cannot be told apart from it.")
    artifact: str = Field(description="The digest of its model in the store.")


class TrialValues(Values):
    """Everything that is known about one trial; it has one of `measurement`, `skip`, `failure`."""

    number: int = Field(description="Its number.")
    candidate: dict[str, Any] = Field(description="How it was built (`build`) and run (`run`).")
    measurement: dict[str, Any] | None = Field(
        default=None, description="The search's own measurement, with `statistics` by metric."
    )
    skip: dict[str, Any] | None = Field(
        default=None, description="Why it was not trained: `before` which stage, and the `reason`."
    )
    failure: dict[str, Any] | None = Field(
        default=None,
        description="Why it failed: `stage`, `kind`, `message`, the end of its log.",
    )
    started_at: float = Field(description="Seconds since 1970.")
    finished_at: float = Field(description="Seconds since 1970.")
    stage_seconds: dict[str, float] = Field(description="Seconds of each stage that ran.")
    lineage: dict[str, str] = Field(description="Digest of each stage's output.")
    saved_seconds: float = Field(description="Seconds of stages found in the store instead.")
    stage_quality: dict[str, float] = Field(description="Quality in training, by stage.")
    train_losses: dict[str, list[float]] = Field(description="Training loss by epoch, by stage.")
    standing: str = Field(description="Where it stands, in a sentence: published, dominated, why.")
    confirmed: dict[str, Any] | None = Field(
        description="Its measurement at the end of the search; null if it was not measured again."
    )

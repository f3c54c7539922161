"""Verification: does a bundle keep its manifest's promises on this machine?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from paretune.runners.failure import Failure
from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.protocol import time_model
from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import MEDIAN_LATENCY, USUAL_LATENCY
from paretune.runners.runtimes.settings import CAREFUL, MeasurementSettings
from paretune.runners.store.artifact import file_digest
from paretune.runners.workload.outputs import whole_outputs
from paretune.search.deliver.bundle_folder import model_files, output_files
from paretune.search.deliver.bundle_run import (
    bundle_run,
    bundle_runner,
    bundle_samples,
    load_bundle_plugins,
    read_manifest,
)
from paretune.search.deliver.fresh_check import USUAL_TIME
from paretune.search.record.words import format_metric, interval_text

SETTINGS = replace(CAREFUL, idle_wait_s=10.0).claiming()

_TIMES = (MEDIAN_LATENCY, USUAL_LATENCY)
_TOLERANCE = 1e-3
"""Largest difference of answers that counts as equal, as a share of the largest answer. Another
processor sums in another order. Chosen by judgement.
"""


class Verdict(IntEnum):
    """The verdict of verification; its value is the command's exit code."""

    AS_PROMISED = 0
    SLOWER = 3
    FASTER = 4
    DIFFERENT_ANSWERS = 5
    DOES_NOT_RUN = 6
    DAMAGED = 7
    CANNOT_TELL = 8
    UNREACHABLE = 9
    NOT_AT_RATE = 10
    OTHER_MODEL = 11
    OTHER_PROVIDER = 12
    OVER_BUDGET = 13

    @property
    def words(self) -> str:
        """The verdict in words."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Verification:
    """The result of verification.

    Attributes:
        verdict: The verdict.
        reason: The reason, in words.
        promised: Times by name: the published values, each with the interval to compare.
        measured: The same times, measured now.
    """

    verdict: Verdict
    reason: str
    promised: Mapping[str, Statistic] = field(default_factory=dict)
    measured: Mapping[str, Statistic] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return it as `paretune verify` prints it: the times, then the verdict."""
        lines = [
            f"{name:<18} promised {format_metric(name, self.promised[name].value)} "
            f"({interval_text(name, self.promised[name])}), "
            f"measured {format_metric(name, now.value)} ({interval_text(name, now)})"
            for name, now in self.measured.items()
        ]
        return "\n".join([*lines, f"{self.verdict.words}: {self.reason}"])


def verify(
    folder: Path,
    settings: MeasurementSettings = SETTINGS,
    plugins: Sequence[Path] = (),
    told: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Run a bundle's model on its samples, compare the answers, and time it.

    Slower (or faster) means that the promised and the measured interval of p50 or p95 do not
    overlap. The promise is the published interval. If the measurement during the pick was outside
    (which `pick` reports), the promise spans both intervals, from the lowest to the highest end.

    Args:
        folder: The bundle, as ``paretune pick --out`` wrote it.
        settings: How much to measure.
        plugins: Files that register the bundle's runtime or format; those that the manifest names
            by default.
        told: Given a line before each step that takes seconds.

    Raises:
        StudyError: If there is no manifest that this version can read, or nothing here has the
            bundle's runtime.
    """
    manifest = read_manifest(folder)
    load_bundle_plugins(manifest, plugins)
    model = folder / manifest["model"]["file"]
    for path, digest in model_files(folder, manifest).items():
        if not path.is_file() or file_digest(path) != digest:
            what = "is not the file that was picked" if path.is_file() else "is missing"
            return Verification(Verdict.DAMAGED, f"{path} {what}")
    run, runner = bundle_run(manifest), bundle_runner(manifest)
    samples = bundle_samples(folder, manifest)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        found = runner.describe(work)
        if isinstance(found, Failure):
            return Verification(Verdict.DOES_NOT_RUN, found.message)
        if run.execution_provider not in found.available:
            there = ", ".join(found.available)
            reason = f"{run.execution_provider} is not available here; available: {there}"
            return Verification(Verdict.DOES_NOT_RUN, reason)
        told("running the model on the bundle's samples")
        answers = runner.predict(model, run, samples, work, settings)
        if isinstance(answers, Failure):
            return Verification(Verdict.DOES_NOT_RUN, answers.message)
        # A bundle of an earlier version has the first output alone.
        for file, found_now in zip(
            output_files(folder, len(list(folder.glob("outputs*.npy")))),
            whole_outputs(answers.outputs),
            strict=False,
        ):
            if differs := difference(found_now, np.load(file)):
                return Verification(Verdict.DIFFERENT_ANSWERS, differs)
        told(f"the answers are as promised; timing it: {USUAL_TIME}")
        timing = time_model(runner, model, run, samples, work, settings.claiming())
    if isinstance(timing, Failure):
        return Verification(Verdict.DOES_NOT_RUN, timing.message)
    statistics = summarize(timing.launches, run.batch_size, timing.first)
    measured = {name: statistics[name] for name in _TIMES}
    promised = {name: promised_time(manifest, name) for name in _TIMES}
    verdict, reason = judge_times(promised, measured)
    if verdict is Verdict.FASTER:
        reason += "; this machine is faster than when it was published, so nothing is wrong"
    # Disturbed launches are repeated; even if there were many, a kept promise counts.
    was_restless = timing.contaminated > len(timing.launches)
    if not timing.host_was_idle or (was_restless and verdict is not Verdict.AS_PROMISED):
        verdict = Verdict.CANNOT_TELL
        reason = (
            "the answers are as promised, but nothing can be said of the times: something else was "
            "running during the measurement. Run it again when the machine is quiet"
        )
    return Verification(verdict, reason, promised, measured)


def promised_time(manifest: Mapping[str, Any], name: str) -> Statistic:
    """Return a manifest's promise for a time: the published interval, or a wider one.

    If the measurement during the pick was outside, the promise spans both.
    """
    published = Statistic(**manifest["metrics"][name])
    again = manifest.get("rechecked", {}).get(name)
    if again is None or again["inside"]:
        return published
    ends = [*published.ends, *Statistic(again["value"], again["low"], again["high"]).ends]
    return Statistic(published.value, min(ends), max(ends))


def judge_times(
    promised: Mapping[str, Statistic], measured: Mapping[str, Statistic]
) -> tuple[Verdict, str]:
    """Return whether measured times are as promised: whether the intervals overlap."""
    for name in _TIMES:
        then, now = promised[name], measured[name]
        text = f"{name} is {now.value / then.value:.2f} × the promised value"
        (low, high), (promised_low, promised_high) = now.ends, then.ends
        if low > promised_high:
            return Verdict.SLOWER, text
        if high < promised_low:
            return Verdict.FASTER, text
    return Verdict.AS_PROMISED, "the intervals of promised and measured times overlap"


def difference(answers: np.ndarray, expected: np.ndarray) -> str:
    """Describe how answers differ from the expected ones; empty if they do not.

    They do if any of them is off by more than 0.1 % of the largest expected one, or is not a
    number.
    """
    if answers.shape != expected.shape:
        return f"answers have shape {answers.shape} instead of {expected.shape}"
    scale = float(np.abs(expected).max()) or 1.0
    off = float(np.abs(answers.astype(np.float64) - expected).max()) / scale
    return "" if off <= _TOLERANCE else f"answers differ by up to {off:.2%} of the largest value"

"""Which of two models is faster: interleaved, with an interval, and a verdict."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from paretune.runners.failure import Failure
from paretune.runners.measure.admission import wait_until_idle
from paretune.runners.measure.statistic import RESOLUTION, Statistic
from paretune.runners.runtimes.lease import lease
from paretune.runners.runtimes.runner import Runner, Samples
from paretune.spaces import RunSpec

_IDLE_WAIT_S = 5.0
"""Seconds to wait for an idle host before each launch. Chosen by judgement."""

Verdict = Literal["faster", "slower", "cannot tell"]


@dataclass(frozen=True)
class Comparison:
    """The ratio of two models' times.

    Attributes:
        ratio: Time of the second ÷ time of the first, with its 95 % interval over launches.
        launch_ratios: The ratio of each launch.
    """

    ratio: Statistic
    launch_ratios: tuple[float, ...]

    @property
    def verdict(self) -> Verdict:
        """Whether the second model is faster or slower than the first.

        A difference counts if the interval excludes 1 and the difference is at least 1 %: two
        copies of one file differ by that much because of their memory layout.
        """
        low, high = self.ratio.low, self.ratio.high
        if low is None or high is None or abs(self.ratio.value - 1) < RESOLUTION:
            return "cannot tell"
        if high < 1:
            return "faster"
        return "slower" if low > 1 else "cannot tell"


def compare(
    runner: Runner,
    models: tuple[Path, Path],
    run: RunSpec,
    samples: Samples,
    *,
    launches: int = 7,
    seconds: float = 0.7,
) -> Comparison | Failure:
    """Compare two models on the same inputs, in interleaved blocks of ABBA.

    Every launch is a fresh process that holds both models; which is loaded first alternates.

    Args:
        runner: The runner.
        models: The two files.
        run: How to run both.
        samples: Their inputs.
        launches: Fresh processes, the replicates of the interval.
        seconds: Seconds per launch.
    """
    logs: list[float] = []
    with tempfile.TemporaryDirectory() as name, lease(runner.device(run)) as held:
        wait_until_idle(runner.device(run), runner.cores(run), _IDLE_WAIT_S)
        for index in range(launches):
            first, second = models if index % 2 == 0 else models[::-1]
            ratios = runner.compare(
                (first, second), run, samples, Path(name), seconds=seconds, lease=held
            )
            if isinstance(ratios, Failure):
                return ratios
            log = math.log(float(np.median(ratios)))
            logs.append(log if index % 2 == 0 else -log)
    each = tuple(math.exp(log) for log in logs)
    return Comparison(Statistic.geometric(each), each)

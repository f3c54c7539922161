"""Arrivals: when each request is due, whether or not earlier ones have been answered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paretune.spaces import StudyError


@dataclass(frozen=True)
class Arrivals:
    """Requests at their own pace (an open loop).

    Attributes:
        name: What they are, in words.
        times_s: When each request is due, in seconds from the start, sorted.
        seconds: The time that they cover; no request is due later.
    """

    name: str
    times_s: NDArray[np.float64]
    seconds: float

    @property
    def rate_per_s(self) -> float:
        """The mean rate."""
        return len(self.times_s) / self.seconds

    @classmethod
    def poisson(cls, rate_per_s: float, seconds: float, seed: int) -> Arrivals:
        """Return requests of many independent users: a Poisson process."""
        times = _poisson(rate_per_s, seconds, np.random.default_rng(seed))
        return cls(f"Poisson, {rate_per_s:.4g} per second", times, seconds)

    @classmethod
    def bursts(
        cls,
        rate_per_s: float,
        factor: float,
        seconds: float,
        seed: int,
        *,
        burst_s: float = 1.0,
        every_s: float = 10.0,
    ) -> Arrivals:
        """Return Poisson arrivals whose rate is ``factor`` times as high for some seconds.

        Args:
            rate_per_s: The rate between bursts.
            factor: How many times as high the rate is in a burst.
            seconds: The time to cover.
            seed: Of the random numbers.
            burst_s: How long a burst is.
            every_s: From the start of one burst to the start of the next; the first one starts at
                half of it.
        """
        random = np.random.default_rng(seed)
        usual = _poisson(rate_per_s, seconds, random)
        more = _poisson(rate_per_s * (factor - 1.0), seconds, random)
        inside = np.mod(more - every_s / 2, every_s) < burst_s
        times = np.sort(np.concatenate([usual, more[inside & (more >= every_s / 2)]]))
        name = (
            f"Poisson, {rate_per_s:.4g} per second, {factor:.3g} × that for {burst_s:g} s every "
            f"{every_s:g} s"
        )
        return cls(name, times, seconds)

    @classmethod
    def recorded(cls, file: Path) -> Arrivals:
        """Return the arrivals of a recorded trace.

        Args:
            file: A ``.npy`` file or a text file (``.csv``, ``.txt``) with the time of a request in
                seconds per row, in its first column; a first row of words is skipped. Times may
                begin anywhere, such as seconds since 1970.

        Raises:
            StudyError: If it cannot be read, or has fewer than two different times.
        """
        try:
            if file.suffix == ".npy":
                times = np.load(file, allow_pickle=False).astype(np.float64).ravel()
            else:
                rows = file.read_text("utf-8").split("\n")
                cells = [row.split(",")[0].strip() for row in rows if row.strip()]
                words = bool(cells) and not _is_number(cells[0])
                times = np.asarray([float(cell) for cell in cells[words:]])
        except (OSError, ValueError) as error:
            raise StudyError(
                f"cannot read arrivals from {file}: {error}; it must hold one time in seconds per "
                "row"
            ) from error
        times = np.sort(times)
        if len(times) < 2 or not np.isfinite(times).all() or times[0] == times[-1]:
            raise StudyError(
                f"{file} must hold at least two different times in seconds, all finite"
            )
        times = times - times[0]
        # The last request has a gap after it, too: without it, the rate would be too high.
        seconds = float(times[-1] * len(times) / (len(times) - 1))
        return cls(f"recorded in {file.name}", times, seconds)

    def at_rate(self, rate_per_s: float) -> Arrivals:
        """Return the same pattern, compressed or stretched to another mean rate."""
        scale = self.rate_per_s / rate_per_s
        name = f"{self.name}, at {rate_per_s:.4g} per second"
        return Arrivals(name, self.times_s * scale, self.seconds * scale)


def _poisson(rate_per_s: float, seconds: float, random: np.random.Generator) -> NDArray[np.float64]:
    count = random.poisson(max(0.0, rate_per_s) * seconds)
    return np.sort(random.uniform(0.0, seconds, count))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

"""Publication: which of the confirmed points make the published frontier, by one rule.

The rule applies to the confirmed points that keep every constraint, each with joint draws of its
possible true objectives:

1. The *probability* of a point follows from the share of draws in which no other point dominates it
   (see :func:`calibrated`).
2. In order of probability, each point that is not dominated by the values begins a row, unless it
   cannot be told apart from a point that already has one: then it is a *tie* of that row. A point
   that is dominated by the values is a tie of the most likely row that it cannot be told apart
   from, if any. So no published point is ever dominated by the published values of another.
3. The probability of a row follows in the same way from the share of draws in which at least one of
   its points is dominated by none.
4. Rows are published in order of probability while their mean probability is at least 0.96. The
   most likely row is always published, so that every study with measurements has something to pick.
   The expected share of published rows without a truly non-dominated point is then at most 4 %: the
   Bayesian false discovery rate (Newton et al., "Detecting differential gene expression with a
   semiparametric hierarchical mixture method", Biostatistics, 2004,
   https://doi.org/10.1093/biostatistics/5.2.155).

``experiments/benchmarks/calibration.py`` checks the probabilities and the error rate on studies
whose truth is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.search.record.pareto import dominance, non_dominated

LEAST_MEAN_PROBABILITY = 0.96
"""Minimum expected share of published rows that hold a truly non-dominated point.

The point that stands for a row is truly non-dominated itself a little less often: at 0.96, in 95 %
of rows (``calibration.py``).
"""

_INTERCEPT, _SLOPE = 0.65, 0.81
"""Recalibration of the log-odds of a share of draws (see :func:`calibrated`).

Evidence: fitted to 4,246 confirmed points of 100 simulated studies (``calibration.py``, seeds 0 to
99), where they bring every tenth of probability within 3 points of the truth. docs/evidence.md has
other seeds, and models that differ by chance from one training to the next.
"""

_CONFIDENCE = 0.95
"""Level of the joint confidence region within which two points cannot be told apart: as every
interval.
"""

_NO_SPREAD = 1e-12
"""Standard deviation of a difference, in an objective's scale, that counts as zero."""


@dataclass(frozen=True)
class Verdict:
    """The verdict of publication on one point.

    Attributes:
        probability: The probability that no other point dominates it.
        row: The place of the point that stands for its row; ``None`` if it belongs to no row.
        row_probability: The probability that at least one point of its row is dominated by none;
            ``None`` without a row.
        is_published: Whether its row is published.
        dominator: The place of the most likely point that dominates it by its values; ``None`` if
            none does.
    """

    probability: float
    row: int | None
    row_probability: float | None = None
    is_published: bool = False
    dominator: int | None = None

    def why_not(self, numbers: Sequence[int]) -> str:
        """Return why the point is neither published nor a tie; empty if it is either.

        Args:
            numbers: The trials of all points, by place.
        """
        if self.is_published:
            return ""
        if self.dominator is not None:
            better = numbers[self.dominator]
            return f"trial {better} is no worse in any objective and better in one"
        return (
            "not likely enough to be non-dominated: probability "
            f"{self.row_probability or 0:.2f}; the mean over all published rows must stay at "
            f"{LEAST_MEAN_PROBABILITY:.2f}"
        )


def publish(values: NDArray[np.float64], draws: NDArray[np.float64]) -> list[Verdict]:
    """Return the verdict on each point that may be published, by the rule of this module.

    Args:
        values: Losses of shape (points, objectives): the published values.
        draws: Losses of shape (draws, points, objectives): each draw is one possible truth.

    Returns:
        One verdict per point, in order.
    """
    if not len(values):
        return []
    beats = dominance(values[None])[0]
    is_best = np.array([non_dominated(draw) for draw in draws])  # (draws, points)
    chances = calibrated(is_best.mean(axis=0))
    likeliest = sorted(range(len(values)), key=lambda place: (-chances[place], place))
    rows: dict[int, list[int]] = {}
    row_of: dict[int, int] = {}
    # First the points that no value dominates: only such a point may stand for a row.
    for place in sorted(likeliest, key=lambda place: bool(beats[:, place].any())):
        twin = next((r for r in rows if is_tie(draws[:, place], draws[:, r])), None)
        if twin is not None:
            rows[twin].append(place)
        elif not beats[:, place].any():
            twin = place
            rows[place] = [place]
        if twin is not None:
            row_of[place] = twin
    row_chances = {
        row: float(calibrated(is_best[:, members].any(axis=1).mean()))
        for row, members in rows.items()
    }
    published = _likeliest_rows(row_chances)
    return [
        Verdict(
            float(chances[place]),
            row := row_of.get(place),
            None if row is None else row_chances[row],
            row in published,
            next((other for other in likeliest if beats[other, place]), None),
        )
        for place in range(len(values))
    ]


def _likeliest_rows(chances: dict[int, float]) -> set[int]:
    """Return the largest set of most likely rows whose mean probability is high enough.

    The most likely row is always included.
    """
    order = sorted(chances, key=lambda row: (-chances[row], row))
    means = np.cumsum([chances[row] for row in order]) / np.arange(1, len(order) + 1)
    # The mean only falls, because the most likely rows come first.
    return set(order[: max(1, int((means >= LEAST_MEAN_PROBABILITY).sum()))])


def calibrated(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability that a point is non-dominated, from its share of draws.

    The draws include the noise, but not all prior knowledge: slower models are mostly more
    accurate, so a point that the draws leave in doubt is more often non-dominated than not. So the
    log-odds of the share are recalibrated by a line (Cox, "Two further applications of a model for
    binary regression", Biometrika, 1958, https://doi.org/10.1093/biomet/45.3-4.562). Shares of 0
    and 1 stay unchanged, and so does the order of points.

    Args:
        share: Shares of draws, of any shape.
    """
    with np.errstate(divide="ignore"):
        odds = np.exp(_INTERCEPT) * (np.asarray(share) / (1 - np.asarray(share))) ** _SLOPE
    found: NDArray[np.float64] = 1 - 1 / (1 + odds)
    return found


def probability_non_dominated(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability that no other point dominates a point, for each.

    Args:
        draws: Losses of shape (draws, points, objectives).

    Returns:
        Probabilities of shape (points,), see :func:`calibrated`.
    """
    return calibrated(np.mean([non_dominated(draw) for draw in draws], axis=0))


def is_tie(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Tell whether two points cannot be told apart, all objectives taken together.

    They cannot if zero difference lies inside the joint 95 % region of their difference: the
    ellipsoid by Mahalanobis distance that holds 95 % of the draws around their mean (Hotelling's
    T², with the draws in place of its distribution). There is one test per pair: with one test per
    objective, equal points would differ in one of three objectives in 14 % of cases.

    Args:
        one: Losses of one point, as draws of shape (draws, objectives).
        other: Losses of the other, paired with them.
    """
    differences = one - other
    mean = differences.mean(axis=0)
    varies = differences.std(axis=0) > _NO_SPREAD
    if (np.abs(mean[~varies]) > _NO_SPREAD).any():
        return False
    if not varies.any():
        return True
    scale = differences[:, varies].std(axis=0)
    around = (differences - mean)[:, varies] / scale
    inverse = np.linalg.pinv(np.cov(around, rowvar=False).reshape(varies.sum(), -1), hermitian=True)
    distances = np.einsum("di,ij,dj->d", around, inverse, around)
    offset = mean[varies] / scale
    return bool(offset @ inverse @ offset <= np.quantile(distances, _CONFIDENCE))


def row_members(verdicts: Sequence[Verdict], row: int) -> list[int]:
    """Return the places of a row's points, the one that stands for it among them."""
    return [place for place, verdict in enumerate(verdicts) if verdict.row == row]

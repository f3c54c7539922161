"""The acquisition: which candidates are expected to add most to a frontier, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from paretune.search.propose.improvement import Array, expected_improvement, improvement_over

SHORTLIST = 64
"""Candidates with the best hopes by expected values, whose improvement is then computed by
draws.
"""

DRAWS = 16
"""Draws per candidate of the shortlist; a power of two, as Sobol's sequence asks for."""


def standard_draws(columns: int, seed: int | np.random.Generator) -> Array:
    """Return standard normal draws by Sobol's sequence: shape (:data:`DRAWS`, columns)."""
    from scipy.stats import norm, qmc

    uniform = qmc.Sobol(columns, rng=seed).random(DRAWS)
    return np.asarray(norm.ppf(np.clip(uniform, 1e-9, 1 - 1e-9)), dtype=np.float64)


@dataclass(frozen=True)
class Outlook:
    """What is expected of a pool of candidates.

    Attributes:
        means: Expected losses, shape (candidates, objectives).
        deviations: Their standard deviations, of the same shape.
        least: Lower limits of the losses, of the same shape; ``-inf`` where none is known.
        weight: What an improvement is multiplied with, such as the chance to keep limits divided by
            the cost: (candidates,).
        nearness: Orders the candidates if none is expected to improve anything: (candidates,).
    """

    means: Array
    deviations: Array
    least: Array
    weight: Array
    nearness: Array

    def best(self, front: Array, reference: Array, draws: Array) -> Iterator[int]:
        """Yield candidates in the order of their joint value, at most :data:`SHORTLIST`.

        After each, its expected losses count as a part of the frontier (a "kriging believer":
        Ginsbourger, Le Riche and Carraro, "Kriging Is Well-Suited to Parallelize Optimization",
        2010, https://doi.org/10.1007/978-3-642-10701-6_6).

        Args:
            front: Losses of the frontier and of candidates in work, (points, objectives).
            reference: Losses that improvements are measured from: (objectives,).
            draws: Standard normal, shape (draws, objectives).
        """
        improvement = improvement_over(front, reference)
        # Only the candidates that look best at two deviations to the good are fully scored.
        hopes = improvement.of(np.maximum(self.means - 2 * self.deviations, self.least))
        hopes = hopes * self.weight
        short = np.lexsort((-self.nearness, -hopes))[:SHORTLIST]
        while len(short):
            expected = expected_improvement(
                improvement, self.means[short], self.deviations[short], draws, self.least[short]
            )
            scores = expected * self.weight[short] + hopes[short] * 1e-9
            chosen = int(short[np.argmax(scores if scores.any() else self.nearness[short])])
            yield chosen
            short = short[short != chosen]
            front = np.vstack([front, np.maximum(self.means[chosen], self.least[chosen])])
            improvement = improvement_over(front, reference)

"""The true qualities of models, as far as a study tells: joint draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.search.propose.surrogates.encoding import Encoding
from paretune.search.propose.surrogates.gaussian_process import (
    Hyperparameters,
    Prior,
    covariances,
)
from paretune.search.propose.surrogates.surrogate import likeliest
from paretune.spaces import Axis, Candidate
from paretune.spaces.axis import BUILD_AXES

_FEWEST_MODELS = 8
"""Fewer models say too little about how quality depends on the axes."""

_MOST_SCATTER = 1.0
"""Maximum share of the models' variance that no axis explains."""

_LENGTHS = (0.5, 5.0)
"""Bounds of a length scale, where each feature spans 1: no quality jumps between neighbouring
values, and none is flat for good.
"""

_NOTHING = 1e-12
"""Standard deviation or variance of qualities that counts as zero: rounding errors."""


@dataclass(frozen=True)
class Score:
    """A model's score on a split.

    Attributes:
        quality: On the whole split.
        resampled: On bootstrap samples of it, the same samples for every model; at least two.
    """

    quality: float
    resampled: Sequence[float]


@dataclass(frozen=True)
class Model:
    """A model of the study: one file, with the outputs of one runtime.

    Attributes:
        candidate: A candidate with this model.
        scores: Its scores, by split; at least one.
    """

    candidate: Candidate
    scores: Mapping[str, Score]


def draw(models: Sequence[Model], step: float, draws: int) -> NDArray[np.float64] | None:
    """Return draws of the true qualities, given both splits and the build axes.

    A split of a few hundred samples can hardly order models that are half a point apart. But the
    models of a study are related: a student that is pruned a little less, or quantized more finely,
    is mostly better. So the prior of the qualities is a Gaussian process over the build axes, plus
    individual scatter per model, all learned from the study (empirical Bayes; Rasmussen and
    Williams, "Gaussian Processes for Machine Learning", 2006, chapter 5; Efron and Morris, "Data
    Analysis Using Stein's Estimator and its Generalizations", 1975). Because every measured model
    takes part, it does no harm that some were selected by luck.

    The deviation that all models share on a split (hard samples) changes no order and is removed.
    The rest counts as independent. The bootstrap's own covariances were tried and are worse: they
    come from the few samples on which models differ, and with them the prior can explain any
    difference away.

    Args:
        models: All models of interest.
        step: The weight of one sample: each model gets half a sample of doubt.
        draws: Number of draws.

    Returns:
        Qualities of shape (models, draws), up to a constant that all share; ``None`` if there are
        too few models to learn from, or all are alike.
    """
    features = _features(models)
    mean, variance = _together(models, step)
    spread = float(mean.std())
    if len(models) < _FEWEST_MODELS or spread < _NOTHING:
        return None
    values, noise = (mean - mean.mean()) / spread, variance / spread**2
    prior = likeliest(_anything(features.shape[1]), features, values, noise)
    before = covariances(prior, features, features) + prior.noise * np.eye(len(models))
    gain = np.linalg.solve(before + np.diag(noise), before).T
    after = before - gain @ before
    sizes, directions = np.linalg.eigh((after + after.T) / 2)
    shaken = np.random.default_rng(len(models)).standard_normal((draws, len(models)))
    shaken = shaken * np.sqrt(sizes.clip(min=0.0)) @ directions.T
    found: NDArray[np.float64] = mean.mean() + spread * (gain @ values + shaken)
    return found.T


def _anything(features: int) -> Prior:
    """Return bounds of hyperparameters, within which all are equally likely beforehand."""
    start = Hyperparameters(1.0, 1.0, 0.5, 1e-3, np.ones(features))
    ends = [(1e-3, 1e3), (1e-2, 1e2), (1e-3, 1e2), (1e-4, _MOST_SCATTER), *[_LENGTHS] * features]
    return Prior(start, np.log(ends), np.zeros(4 + features), np.full(4 + features, np.inf))


def _features(models: Sequence[Model]) -> NDArray[np.float64]:
    """Return the build axes that vary among the models, encoded."""
    candidates = [model.candidate for model in models]
    values = {name: sorted({c.params[name] for c in candidates}, key=str) for name in BUILD_AXES}
    axes = [Axis(name, tuple(v)) for name, v in values.items() if len(v) > 1]
    return Encoding(axes).points(candidates)


def _together(
    models: Sequence[Model], step: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each model's quality over all splits, and its variance: shape (models,) both.

    Splits are weighted by their precision, after the shared deviation is removed.
    """
    weighted, precision = np.zeros(len(models)), np.zeros(len(models))
    for split in sorted({name for model in models for name in model.scores}):
        rows = [row for row, model in enumerate(models) if split in model.scores]
        scores = [models[row].scores[split] for row in rows]
        quality = np.array([score.quality for score in scores])
        resampled = np.array([score.resampled for score in scores])
        own = (resampled - resampled.mean(axis=0)).var(axis=1) * len(rows) / max(len(rows) - 1, 1)
        own = own + max(step**2 / 2, _NOTHING)
        # Models with scores on both splits bring the splits to one level.
        both = precision[rows] > 0
        if both.any():
            known = np.array(rows)[both]
            quality = quality + (weighted[known] / precision[known] - quality[both]).mean()
        weighted[rows] += quality / own
        precision[rows] += 1 / own
    mean: NDArray[np.float64] = weighted / precision
    return mean, 1 / precision

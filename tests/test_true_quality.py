"""True qualities: both splits and the build axes tell more than one split alone."""

import numpy as np
import pytest
from scipy.stats import norm

from paretune.search.confirm.true_quality import Model, Score, draw
from paretune.spaces import BuildSpec, Candidate, Quantization, RunSpec

RUN = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 1)
SAMPLES = 400
STEP = 1 / SAMPLES


def truth(build: BuildSpec) -> float:
    lost = {"reference": 0.0, "medium": 0.01, "small": 0.03}[build.student]
    lost += {"fp32": 0.0, "int8-static": 0.008}[build.quantization.value]
    return 0.95 - lost - 0.1 * build.pruning_ratio**2


def study(rng: np.random.Generator) -> tuple[list[Model], np.ndarray]:
    """Return models with their scores and their true qualities."""
    builds = [
        BuildSpec(student, ratio, scheme)
        for student in ("reference", "medium", "small")
        for ratio in (0.0, 0.2, 0.4, 0.6)
        for scheme in (Quantization.FP32, Quantization.INT8_STATIC)
    ]
    models = []
    rows = rng.integers(SAMPLES, size=(200, SAMPLES))
    hard = {split: rng.standard_normal(SAMPLES) for split in ("validation", "test")}
    for build in builds:
        scores = {}
        for split in ("validation", "test"):
            # Most errors are shared: some samples are hard for every model.
            latent = 0.9**0.5 * hard[split] + 0.1**0.5 * rng.standard_normal(SAMPLES)
            right = latent < norm.ppf(truth(build))
            scores[split] = Score(float(right.mean()), right[rows].mean(axis=1).tolist())
        models.append(Model(Candidate(build, RUN), scores))
    return models, np.array([truth(build) for build in builds])


def test_qualities_are_nearer_to_the_truth_than_the_test_split_says() -> None:
    rng = np.random.default_rng(3)
    ours, split, inside = [], [], []
    for _ in range(8):
        models, true = study(rng)
        found = draw(models, STEP, 1000)
        assert found is not None and found.shape == (len(models), 1000)
        test = np.array([model.scores["test"].quality for model in models])
        for known, errors in ((found.mean(axis=1), ours), (test, split)):
            errors.append(np.std(known - true))
        # Only differences are known: what all models share is not.
        centred = found - found.mean(axis=0)
        low, high = np.percentile(centred, [2.5, 97.5], axis=1)
        inside.append(np.mean((low <= true - true.mean()) & (true - true.mean() <= high)))
    assert np.mean(ours) < 0.75 * np.mean(split)
    assert np.mean(inside) > 0.85


def test_models_that_no_axis_tells_apart_keep_their_own_scores() -> None:
    """A model that is far worse than its neighbours stays so: the prior does not remove that."""
    models, _ = study(np.random.default_rng(0))
    broken = Score(0.5, (0.5 + 0.02 * np.random.default_rng(1).standard_normal(200)).tolist())
    models[3] = Model(models[3].candidate, {"validation": broken, "test": broken})
    found = draw(models, STEP, 500)
    assert found is not None
    assert found[3].mean() - np.delete(found, 3, axis=0).mean() == pytest.approx(-0.42, abs=0.06)


def test_few_models_or_equal_ones_tell_nothing() -> None:
    models, _ = study(np.random.default_rng(0))
    assert draw(models[:4], STEP, 100) is None
    assert (
        draw([Model(m.candidate, {"test": models[0].scores["test"]}) for m in models], 0, 9) is None
    )


def test_a_model_of_one_split_only_is_on_the_level_of_the_others() -> None:
    """The validation split may be harder than the test split, which says nothing about a model."""
    models, true = study(np.random.default_rng(5))
    harder = [
        Model(
            m.candidate,
            {
                "validation": Score(
                    m.scores["validation"].quality - 0.2,
                    [each - 0.2 for each in m.scores["validation"].resampled],
                ),
                **({"test": m.scores["test"]} if place % 2 else {}),
            },
        )
        for place, m in enumerate(models)
    ]
    found = draw(harder, STEP, 500)
    assert found is not None
    off = found.mean(axis=1) - true
    assert abs(off[::2].mean() - off[1::2].mean()) < 0.01

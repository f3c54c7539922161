"""Paretune's sampler in a script of plain Optuna: no study file, no ONNX, any objective.

    python experiments/plain_optuna/search.py                     # 60 trials, four workers
    python experiments/plain_optuna/search.py --sampler tpe       # the same with Optuna's TPE

A classifier of handwritten digits (scikit-learn's own data) is chosen by two objectives: accuracy,
and the time to classify one picture. Its parameters must fit into 64 kB, which is a constraint.
Four threads ask for trials at the same time and evaluate them side by side.
"""

from __future__ import annotations

import argparse
import time
import warnings
from statistics import median

import moocore
import numpy as np
import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

import paretune

LARGEST_BYTES = 64_000
"""The most that a model may take."""

REFERENCE = (-0.80, float(np.log(5.0)))
"""Accuracy and milliseconds from which the hypervolume counts."""

CALLS = 200
"""Calls that are timed; the median counts."""


class Digits:
    """Trains and measures one model per trial."""

    def __init__(self) -> None:
        pictures, labels = load_digits(return_X_y=True)
        self.train, self.test, self.train_labels, self.test_labels = train_test_split(
            pictures / 16.0, labels, test_size=0.4, random_state=0
        )

    def __call__(self, trial: Trial) -> tuple[float, float]:
        """Return accuracy and the milliseconds of one call."""
        layers = trial.suggest_int("layers", 1, 3)
        width = trial.suggest_int("width", 2, 256, log=True)
        model = MLPClassifier(
            hidden_layer_sizes=(width,) * layers,
            activation=trial.suggest_categorical("activation", ["relu", "tanh", "logistic"]),
            learning_rate_init=trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
            alpha=trial.suggest_float("alpha", 1e-6, 1e-1, log=True),
            max_iter=trial.suggest_int("epochs", 5, 40),
            random_state=0,
        )
        with threadpool_limits(limits=1):  # workers share the machine's cores
            model.fit(self.train, self.train_labels)
            accuracy = float(model.score(self.test, self.test_labels))
            milliseconds = self._milliseconds(model)
        weights = [*model.coefs_, *model.intercepts_]
        size = sum(each.astype(np.float32).nbytes for each in weights)
        trial.set_constraint("size", (size - LARGEST_BYTES) / LARGEST_BYTES)
        trial.set_user_attr("bytes", size)
        return accuracy, milliseconds

    def _milliseconds(self, model: MLPClassifier) -> float:
        one = self.test[:1]
        times = []
        for _ in range(CALLS):
            start = time.perf_counter()
            model.predict(one)
            times.append(1e3 * (time.perf_counter() - start))
        return median(times)


def sampler_of(name: str, seed: int) -> BaseSampler:
    """Return a sampler by name."""
    if name == "frontier":
        # A time is twice as good when it is half as long, whatever it is.
        return paretune.FrontierSampler(seed=seed, ratio_scale=[False, True])
    if name == "tpe":
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)
    if name == "nsga2":
        return NSGAIISampler(seed=seed)
    return RandomSampler(seed=seed)


def hypervolume(trials: list[FrozenTrial]) -> float:
    """Return the hypervolume of the trials that keep the constraint."""
    points = [(-t.values[0], np.log(t.values[1])) for t in trials if fits(t)]
    inside = [point for point in points if all(np.less(point, REFERENCE))]
    return float(moocore.hypervolume(np.array(inside), ref=REFERENCE)) if inside else 0.0


def fits(trial: FrozenTrial) -> bool:
    """Tell whether a trial keeps its constraint."""
    return all(value <= 0 for value in trial.constraints.values())


def main() -> None:
    """Search, and print the frontier."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--sampler", choices=["frontier", "tpe", "nsga2", "random"], default="frontier"
    )
    parser.add_argument("--storage", help="an Optuna storage, such as sqlite:///digits.db")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # How long to train is a parameter, so a training may well end early.
    warnings.simplefilter("ignore", ConvergenceWarning)
    study = optuna.create_study(
        directions=["maximize", "minimize"],
        sampler=sampler_of(asked.sampler, asked.seed),
        storage=asked.storage,
        study_name=f"digits-{asked.sampler}-{asked.seed}" if asked.storage else None,
        load_if_exists=True,
    )
    started = time.perf_counter()
    study.optimize(Digits(), n_trials=asked.trials, n_jobs=asked.workers)
    seconds = time.perf_counter() - started
    kept = sum(map(fits, study.trials))
    print(f"{len(study.trials)} trials in {seconds:.0f} s, {kept} within {LARGEST_BYTES:,} bytes")
    print(f"hypervolume {hypervolume(study.trials):.4f}")
    print(" accuracy  ms per call    bytes  parameters")
    for trial in sorted(filter(fits, study.best_trials), key=lambda t: -t.values[0]):
        told = ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in trial.params.items()
        )
        accuracy, milliseconds = trial.values
        size = trial.user_attrs["bytes"]
        print(f"{accuracy:9.4f}  {milliseconds:11.4f}  {size:7,}  {told}")
    print("as a picture: optuna.visualization.plot_pareto_front(study)")


if __name__ == "__main__":
    main()

"""A small real workload for the tests: Fisher's irises, bundled with scikit-learn."""

import os
import signal
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from torch import nn

from paretune import Data, Recipe, Split, Workload


def network(width: int) -> nn.Module:
    """Return a perceptron with two hidden layers."""
    return nn.Sequential(
        nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3)
    )


class Iris(Workload):
    """Four measures of a flower, three species."""

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        return {"small": partial(network, 16), "reference": partial(network, 64)}

    def data(self) -> Data:
        inputs, targets = load_iris(return_X_y=True)
        inputs = inputs.astype(np.float32)
        train, rest, train_targets, rest_targets = train_test_split(
            inputs, targets, test_size=90, random_state=0, stratify=targets
        )
        return Data(
            train=Split(train, train_targets),
            calibration=Split(rest[:30], rest_targets[:30]),
            validation=Split(rest[30:60], rest_targets[30:60]),
            test=Split(rest[60:], rest_targets[60:]),
        )

    def recipe(self) -> Recipe:
        return Recipe(reference_epochs=20, distill_epochs=10, fine_tune_epochs=2, batch_size=16)


class Served(Iris):
    """With pre- and post-processing."""

    pipeline = "iris_pipeline.py"

    def requests(self, split: str) -> np.ndarray:
        return np.rint(getattr(self.data(), split).inputs * 10).astype(np.uint8)


class Misserved(Served):
    """Its requests do not match its inputs."""

    def requests(self, split: str) -> np.ndarray:
        return super().requests(split)[::-1].copy()


class Unserved(Iris):
    """A pipeline without requests."""

    pipeline = "iris_pipeline.py"


class Unprunable(Iris):
    """Its prune stage always fails: the outputs of no layer may change."""

    def recipe(self) -> Recipe:
        return Recipe(reference_epochs=5, distill_epochs=5)

    def keep_layers(self, model: nn.Module) -> list[nn.Module]:
        return list(model.children())


class Broken(Iris):
    """Its reference cannot be trained."""

    def train_reference(self, model: nn.Module, data: Data) -> None:
        raise FileNotFoundError("checkpoint.pt is not there")


class Killed(Iris):
    """Its training is killed, as the kernel kills processes that take too much memory."""

    def train_reference(self, model: nn.Module, data: Data) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Greedy(Iris):
    """Its training asks for 12 GiB."""

    def train_reference(self, model: nn.Module, data: Data) -> None:
        bytearray(12 * 2**30)


class BadMetricName(Iris):
    """MLflow takes no such name."""

    quality_metric = "f1 (macro)"


class Quits(Iris):
    """Its data() exits the process."""

    def data(self) -> Data:
        raise SystemExit(3)


class Objects(Iris):
    """Its targets are Python objects, as some loaders give them."""

    def data(self) -> Data:
        data = super().data()
        return Data(
            Split(data.train.inputs, data.train.targets.astype(object)),
            data.calibration,
            data.validation,
            data.test,
        )


class Unseeded(Iris):
    """Its data differs at every call, and its reference crashes the first process."""

    def data(self) -> Data:
        data, rng = super().data(), np.random.default_rng()
        order = rng.permutation(len(data.train.inputs))
        train = Split(data.train.inputs[order], data.train.targets[order])
        return Data(train, data.calibration, data.validation, data.test)

    def train_reference(self, model: nn.Module, data: Data) -> None:
        os.abort()


class ServedInParts(Served):
    """With a pipeline of named parts that offers axes."""

    pipeline = "parts_pipeline.py"

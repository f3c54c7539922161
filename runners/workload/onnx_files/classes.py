"""The names of classes that an ONNX file holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from paretune.spaces import WorkloadError


def class_numbers(model: Path, labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the number of each text label's class.

    Classifiers of scikit-learn and others keep the names of their classes in the file, in the order
    of the scores.

    Args:
        model: The ONNX file.
        labels: Text, of any shape.

    Raises:
        WorkloadError: If no list of names in the file holds all of the labels.
    """
    texts = labels.astype(str)
    wanted = {str(each) for each in np.unique(texts)}
    for names in _name_lists(onnx.load(model, load_external_data=False).graph):
        if wanted <= {*names}:
            numbers = {name: place for place, name in enumerate(names)}
            flat = [numbers[str(each)] for each in texts.ravel()]
            return np.array(flat, np.int64).reshape(texts.shape)
    raise WorkloadError(
        f"the labels are text ({', '.join(sorted(wanted)[:5])}, …), but {model} has no list of "
        "class names that holds them all: give the number of each sample's class instead"
    )


def _name_lists(graph: onnx.GraphProto) -> Iterator[list[str]]:
    """Yield every list of texts among a graph's constants and attributes."""
    tensors = list(graph.initializer)
    for node in graph.node:
        for each in node.attribute:
            if each.strings:
                yield [text.decode("utf-8", "replace") for text in each.strings]
            if each.HasField("t"):
                tensors.append(each.t)
    for tensor in tensors:
        if tensor.data_type == onnx.TensorProto.STRING:
            yield [text.decode("utf-8", "replace") for text in tensor.string_data]

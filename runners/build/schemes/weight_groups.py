"""Groups of weights that share a scale, in 4 bits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import onnx
from numpy.typing import NDArray

GROUP = 32
"""Weights per scale, where a MatMul has a scale per group. Chosen by judgement: other sizes are
untested.
"""


def is_better_grouped(model: onnx.ModelProto, weights: Mapping[str, NDArray[Any]]) -> bool:
    """Tell whether most int4 weights could have one scale per group: MatMuls of fitting width.

    Then its Gemms stay in fp32: ONNX Runtime rejects group-wise scales on them.

    Args:
        model: The model.
        weights: Its constants, by name.
    """
    sizes = Counter[str]()
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Gemm") and node.input[1] in weights:
            weight = weights[node.input[1]]
            if node.op_type == "MatMul" and (weight.ndim < 2 or weight.shape[-2] % GROUP):
                return False
            sizes[node.op_type] += weight.size
    return sizes["MatMul"] > sizes["Gemm"]

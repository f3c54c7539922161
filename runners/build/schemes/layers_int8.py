"""Static int8 of the layers alone, by ONNX Runtime's own tool.

Only what gains is quantized: convolutions and matrix products, with unsigned activations and signed
weights per channel, as ONNX Runtime's kernels for x86 take them
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html). What lies between
stays in fp32: around SiLU, concatenations and normalizations, conversions cost more than integers
save.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quantize_static,
)

from paretune.runners.build.schemes.calibration import calibration_feeds
from paretune.runners.build.schemes.integer_sums import has_narrow_sums
from paretune.runners.build.schemes.nearest import Feeds, nearest, outputs_on
from paretune.runners.build.stages import StageInput
from paretune.runners.onnx_session import basic_form
from paretune.runners.workload.model_file import CALIBRATION
from paretune.runners.workload.onnx_weights import save_onnx

_KINDS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_WAYS = {
    "ranges to the extremes": CalibrationMethod.MinMax,
    "ranges to the 99.999th percentile": CalibrationMethod.Percentile,
}


def make(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Quantize layers, with the calibration that keeps the model's outputs best."""
    model = onnx.load(given.parent_file)
    if any(node.op_type == "BatchNormalization" for node in model.graph.node):
        model = onnx.load_from_string(basic_form(model.SerializeToString()))  # into convolutions
    # A file, because given a model in memory the tool loses weights that it has put beside it.
    source = path.with_name("layers.onnx")
    save_onnx(model, source)
    feeds = calibration_feeds(given)

    def quantized(method: CalibrationMethod) -> onnx.ModelProto:
        aside = path.with_name("layers_int8.onnx")
        quantize_static(
            source,
            aside,
            SampleReader(feeds),
            op_types_to_quantize=list(_KINDS),
            per_channel=True,
            # See dynamic_int8.py.
            reduce_range=has_narrow_sums(),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(left_out),
            calibrate_method=method,
            # One sample at a time: the tool holds all intermediate values of what it is given.
            extra_options={"CalibStridedMinMax": 1},
        )
        return onnx.load(aside)

    ways = {way: partial(quantized, method) for way, method in _WAYS.items()}
    found, way = nearest(ways, outputs_on, feeds, partial(outputs_on, model))
    found.metadata_props.add(key=CALIBRATION, value=way)
    save_onnx(found, path)


class SampleReader(CalibrationDataReader):  # type: ignore[misc]
    """Gives calibration samples to ONNX Runtime's tool, a range of them at a time."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds = feeds
        self._left = iter(feeds)

    def __len__(self) -> int:
        return len(self._feeds)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Continue with the samples of a range."""
        self._left = iter(self._feeds[start_index:end_index])

    def get_next(self) -> Mapping[str, NDArray[Any]] | None:
        """Return the next sample's inputs by name, or ``None`` at the end."""
        return next(self._left, None)

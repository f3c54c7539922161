"""The frame of every scheme of an ONNX file: prepare the file, and check what was made."""

import json
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from paretune.runners.build.schemes.calibration import calibration_feeds
from paretune.runners.build.schemes.prepared import prepared
from paretune.runners.build.schemes.unfit import unfit
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.stages.sensitivity import WITH_WEIGHTS, most_sensitive
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.formats import FORMATS
from paretune.runners.workload.model_file import CONSTANTS, FP32_LAYERS
from paretune.runners.workload.onnx_weights import save_onnx
from paretune.spaces import SchemeRecord, resolve

_FP32_BITS = 32
"""A scheme of fewer bits per weight has to change something."""


def quantize(given: StageInput, scheme: SchemeRecord) -> StageOutput:
    """Quantize the parent's ONNX file.

    ``params["fp32_layer_share"]``, if there is one, is the share of the layers left in fp32; their
    names are stored in the file's metadata. ``params["constants"]``, if there are any, are inputs
    that are built in, by name; they are stored there as well.
    """
    path = given.folder / "model.onnx"
    constants = given.params.get("constants")
    ready = prepared(given.parent_file, given.folder, scheme.least_opset, constants)
    if reason := unfit(given.parent_file, ready, scheme):
        raise StageError(FailureKind.UNSUPPORTED, reason)
    given = replace(given, parent=ready)
    before = _contents(ready)
    left_out = _left_out(given, scheme)
    maker = resolve(FORMATS.get("onnx").maker_of(scheme) or _nothing)
    try:
        maker(given, path, left_out)
    except (StageError, MemoryError, ImportError, OSError):
        raise
    except Exception as error:
        traceback.print_exc()
        raise StageError(
            FailureKind.UNSUPPORTED,
            f"{scheme.name} cannot be applied: {type(error).__name__}: {error}".removesuffix(": "),
        ) from error
    if _contents(path) == before and scheme.weight_bits < _FP32_BITS:
        raise StageError(FailureKind.UNSUPPORTED, _nothing_found(scheme, before[0], left_out))
    if left_out or constants:
        model = onnx.load(path)
        if left_out:
            model.metadata_props.add(key=FP32_LAYERS, value="\n".join(left_out))
        if constants:
            model.metadata_props.add(key=CONSTANTS, value=json.dumps(constants))
        save_onnx(model, path)
    return StageOutput(path)


def _nothing(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    save_onnx(onnx.load(given.parent_file), path)


def _nothing_found(scheme: SchemeRecord, operators: Counter[str], left_out: Sequence[str]) -> str:
    if left_out:
        return f"all {len(left_out)} layers that {scheme.name} quantizes would be left in fp32"
    needs = f": it needs {' or '.join(WITH_WEIGHTS)} with constant weights"
    return (
        f"{scheme.name} finds nothing to quantize among the model's operators "
        f"({', '.join(sorted(operators))})"
        + (needs if scheme.mode in ("dynamic", "weight") else "")
    )


def _left_out(given: StageInput, scheme: SchemeRecord) -> list[str]:
    """Return the names of the layers to leave in fp32."""
    share = given.params.get("fp32_layer_share", 0.0)
    if not share:
        return []
    return most_sensitive(onnx.load(given.parent_file), calibration_feeds(given), share, scheme)


def _contents(path: Path) -> tuple[Counter[str], Counter[int]]:
    """Return how many nodes there are of each operator, and weights of each element type."""
    graph = onnx.load(path, load_external_data=False).graph
    operators = Counter(node.op_type for node in graph.node)
    return operators, Counter(tensor.data_type for tensor in graph.initializer)

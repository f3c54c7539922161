"""The frame of every scheme of an ONNX file: prepare the file, and check what was made."""

import json
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from paretune.runners.build.schemes.calibration import calibration_feeds
from paretune.runners.build.schemes.placement.layers import WITH_WEIGHTS
from paretune.runners.build.schemes.placement.ranking import Bargain, bargains, left_out
from paretune.runners.build.schemes.placement.time_gain import Loader, on_onnxruntime
from paretune.runners.build.schemes.prepared import prepared
from paretune.runners.build.schemes.unfit import unfit
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.formats import FORMATS
from paretune.runners.workload.model_file import CONSTANTS, FP32_LAYERS, PLACEMENT
from paretune.runners.workload.onnx_weights import save_onnx
from paretune.spaces import SchemeRecord, resolve
from paretune.spaces.registry import Reference

_FP32_BITS = 32
"""A scheme of fewer bits per weight has to change something."""


def quantize(given: StageInput, scheme: SchemeRecord) -> StageOutput:
    """Quantize the parent's ONNX file.

    ``params["fp32_layer_share"]``, if there is one, is the share of the layers left in fp32; their
    names, and why, are stored in the file's metadata. ``params["constants"]``, if there are any,
    are inputs that are built in, by name; they are stored there as well.
    """
    path = given.folder / "model.onnx"
    given, left = ready(given, scheme, on_onnxruntime)
    before, names = _contents(given.parent_file), [each.layer for each in left]
    apply(FORMATS.get("onnx").maker_of(scheme) or _nothing, scheme, given, path, names)
    if _contents(path) == before and scheme.weight_bits < _FP32_BITS:
        raise StageError(FailureKind.UNSUPPORTED, _nothing_found(scheme, before[0], names))
    constants = given.params.get("constants")
    if left or constants:
        model = onnx.load(path)
        if left:
            model.metadata_props.add(key=FP32_LAYERS, value="\n".join(names))
            told = json.dumps([each.as_dict() for each in left])
            model.metadata_props.add(key=PLACEMENT, value=told)
        if constants:
            model.metadata_props.add(key=CONSTANTS, value=json.dumps(constants))
        save_onnx(model, path)
    return StageOutput(path)


def ready(
    given: StageInput, scheme: SchemeRecord, load: Loader
) -> tuple[StageInput, list[Bargain]]:
    """Return the input with a file that tools can quantize, and the layers to leave as they are.

    Args:
        given: The input of the stage ``quantize``, whose parent is an ONNX file.
        scheme: The scheme.
        load: Returns how to call a file in the runtime that the scheme is made for.

    Raises:
        StageError: If the scheme does not apply to the model.
    """
    source, constants = given.parent_file, given.params.get("constants")
    file = prepared(source, given.folder, scheme.least_opset, constants)
    if reason := unfit(source, file, scheme):
        raise StageError(FailureKind.UNSUPPORTED, reason)
    given = replace(given, parent=file)
    share = given.params.get("fp32_layer_share", 0.0)
    if not share:
        return given, []
    found = bargains(onnx.load(file), calibration_feeds(given), scheme, load)
    return given, left_out(found, share)


def apply(
    maker: Reference, scheme: SchemeRecord, given: StageInput, path: Path, names: Sequence[str]
) -> None:
    """Have a scheme's maker write a file; what it raises says that the scheme does not apply.

    Raises:
        StageError: If it fails for another reason than the environment.
    """
    try:
        resolve(maker)(given, path, names)
    except (StageError, MemoryError, ImportError, OSError):
        raise
    except Exception as error:
        traceback.print_exc()
        raise StageError(
            FailureKind.UNSUPPORTED,
            f"{scheme.name} cannot be applied: {type(error).__name__}: {error}".removesuffix(": "),
        ) from error


def _nothing(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    save_onnx(onnx.load(given.parent_file), path)


def _nothing_found(scheme: SchemeRecord, operators: Counter[str], names: Sequence[str]) -> str:
    if names:
        return f"all {len(names)} layers that {scheme.name} quantizes would be left in fp32"
    needs = f": it needs {' or '.join(WITH_WEIGHTS)} with constant weights"
    return (
        f"{scheme.name} finds nothing to quantize among the model's operators "
        f"({', '.join(sorted(operators))})"
        + (needs if scheme.mode in ("dynamic", "weight") else "")
    )


def _contents(path: Path) -> tuple[Counter[str], Counter[int]]:
    """Return how many nodes there are of each operator, and weights of each element type."""
    graph = onnx.load(path, load_external_data=False).graph
    operators = Counter(node.op_type for node in graph.node)
    return operators, Counter(tensor.data_type for tensor in graph.initializer)

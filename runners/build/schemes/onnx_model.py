"""The frame of every scheme of an ONNX file: prepare the file, and check what was made."""

import fnmatch
import json
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from paretune.runners.build.schemes.calibration import calibration_feeds
from paretune.runners.build.schemes.placement.layers import LAYERS, WITH_WEIGHTS
from paretune.runners.build.schemes.placement.ranking import Placement, bargains
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

_TOLD = 8
"""Layers that are named where all would be too many."""


def quantize(given: StageInput, scheme: SchemeRecord) -> StageOutput:
    """Quantize the parent's ONNX file.

    ``params["fp32_layer_share"]``, if there is one, is the share of the layers left in fp32; their
    names, and what every layer gains and costs, are stored in the file's metadata.
    ``params["keep_fp32"]`` names layers that are left in fp32 anyway, by patterns.
    ``params["constants"]``, if there are any, are inputs that are built in, by name; they are
    stored there as well.
    """
    path = given.folder / "model.onnx"
    given, placement = ready(given, scheme, on_onnxruntime)
    before, names = _contents(given.parent_file), placement.left
    apply(FORMATS.get("onnx").maker_of(scheme) or _nothing, scheme, given, path, names)
    if _contents(path) == before and scheme.weight_bits < _FP32_BITS:
        raise StageError(FailureKind.UNSUPPORTED, _nothing_found(scheme, before[0], names))
    constants = given.params.get("constants")
    if names or constants:
        model = onnx.load(path)
        if names:
            model.metadata_props.add(key=FP32_LAYERS, value="\n".join(names))
            if placement.layers:
                model.metadata_props.add(key=PLACEMENT, value=placement.as_json())
        if constants:
            model.metadata_props.add(key=CONSTANTS, value=json.dumps(constants))
        save_onnx(model, path)
    return StageOutput(path)


def ready(given: StageInput, scheme: SchemeRecord, load: Loader) -> tuple[StageInput, Placement]:
    """Return the input with a file that tools can quantize, and which layers to quantize.

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
    named = [] if scheme.mode == "cast" else _named(given, file)
    if not share:
        return given, Placement(named=named)
    found = bargains(onnx.load(file), calibration_feeds(given), scheme, load)
    return given, Placement(
        [each for each in found if each.layer not in named],
        share,
        "weights" if scheme.mode == "weight" else "ms",
        named,
    )


def _named(given: StageInput, file: Path) -> list[str]:
    """Return the layers that the workload names to be left as they are.

    Raises:
        StageError: If it names layers that the file does not have.
    """
    patterns = given.params.get("keep_fp32", ())
    if not patterns:
        return []
    nodes = onnx.load(file, load_external_data=False).graph.node
    names = [node.name for node in nodes]
    found: dict[str, None] = {}
    for pattern in patterns:
        fitting = fnmatch.filter(names, pattern)
        if not fitting:
            layers = [node.name for node in nodes if node.op_type in LAYERS]
            raise StageError(
                FailureKind.INVALID,
                f"keep_fp32() names {pattern!r}, but no layer of the file is called so; some of "
                f"its {len(layers)} layers: {', '.join(layers[:_TOLD])}",
            )
        found |= dict.fromkeys(fitting)
    return list(found)


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

"""Schemes of OpenVINO's own model: a precision that it computes in, and integers by NNCF.

They are made from an ONNX file, which OpenVINO converts.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from paretune.runners.build.schemes.calibration import calibration_feeds
from paretune.runners.build.schemes.nearest import Answers, Feeds, joined, nearest
from paretune.runners.build.schemes.onnx_model import apply, ready
from paretune.runners.build.schemes.placement.time_gain import on_openvino
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.formats import FORMATS
from paretune.runners.openvino_core import (
    capabilities,
    conversion_reason,
    fastest_float,
    import_openvino,
)
from paretune.runners.workload.model_file import CALIBRATION
from paretune.spaces import SchemeRecord

_ROOM = "paretune"
"""Where a model says what Paretune did to it, among its runtime information."""

_NO_OPERATORS = ("Constant", "Parameter", "Result")
_MATRICES = ("MatMul",)


def quantize(given: StageInput, scheme: SchemeRecord) -> StageOutput:
    """Convert the parent's ONNX file and apply a scheme (see ``onnx_model.quantize``).

    Layers that are left as they are compute in bfloat16 where the processor can.
    """
    path = given.folder / "model.xml"
    given, placement = ready(given, scheme, on_openvino)
    maker = FORMATS.get("openvino").maker_of(scheme)
    if maker is None:
        raise StageError(FailureKind.UNSUPPORTED, f"{scheme.name} is not made for OpenVINO")
    apply(maker, scheme, given, path, placement.left)
    notes = {}
    if placement.left:
        notes["fp32_layers"] = "\n".join(placement.left)
        notes["inference_precision"] = fastest_float()
    if placement.layers:
        notes["placement"] = placement.as_json()
    if constants := given.params.get("constants"):
        notes["constants"] = json.dumps(constants)
    if notes:
        _note(path, notes)
    return StageOutput(path)


def _note(path: Path, notes: Mapping[str, str]) -> None:
    """Write what was done to a model into its file."""
    model = import_openvino().Core().read_model(path)
    for name, text in notes.items():
        model.set_rt_info(text, [_ROOM, name])
    aside = path.with_name("noted.xml")
    _save(model, aside)
    del model  # it reads its weights from the file that is replaced
    for suffix in (".xml", ".bin"):
        aside.with_suffix(suffix).replace(path.with_suffix(suffix))


def make_bf16(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Compute in bfloat16; weights are stored in 16 bits."""
    precision = _bf16()
    model = _read(given.parent_file)
    model.set_rt_info(precision, [_ROOM, "inference_precision"])
    _save(model, path, is_half=True)


def _bf16() -> str:
    """Return OpenVINO's name of bfloat16.

    Raises:
        StageError: If this processor does not compute in it.
    """
    if "BF16" not in (can := capabilities()):
        raise StageError(
            FailureKind.UNSUPPORTED,
            f"this processor does not compute in bfloat16: OpenVINO has {', '.join(can)} here",
        )
    return "bf16"


def make_int8(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Quantize the ONNX file as int8-static does, and convert that; the rest is in bfloat16.

    NNCF quantizes fewer values of an ONNX file than of OpenVINO's own model: 66 instead of 180 of a
    detector with SiLU, 64 instead of 81 of a MobileNet, which took 3.9 instead of 4.6 ms, and 1.3
    instead of 1.7 ms.
    """
    from paretune.runners.build.schemes import static_int8

    aside = path.with_name("static.onnx")
    static_int8.make(given, aside, left_out)
    model = _read(aside)
    calibration = next(e.value for e in onnx.load(aside).metadata_props if e.key == CALIBRATION)
    model.set_rt_info(calibration, [_ROOM, "calibration"])
    model.set_rt_info(fastest_float(), [_ROOM, "inference_precision"])
    _save(model, path)


def make_int8_mixed(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Quantize with NNCF's mixed preset: activations have a zero point of their own."""
    _make_int8(given, path, left_out, preset="MIXED")


def make_int8_transformer(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Quantize as NNCF does transformers: layers alone, matrix products after SmoothQuant."""
    _make_int8(given, path, left_out, model_type="TRANSFORMER")


def make_int8_transformer_bf16(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """The same; the rest computes in bfloat16."""
    _make_int8(given, path, left_out, precision=_bf16(), model_type="TRANSFORMER")


def make_int8_matrices(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Quantize matrix products alone, after SmoothQuant."""
    _make_int8(given, path, left_out, _MATRICES, model_type="TRANSFORMER")


def make_int8_matrices_bf16(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """The same; the rest, convolutions too, computes in bfloat16."""
    _make_int8(given, path, left_out, _MATRICES, _bf16(), model_type="TRANSFORMER")


def make_int8_weight(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Store weights in 8 bits, with a scale per output channel."""
    _compress_weights(given, path, left_out, mode="INT8_SYM")


def make_int4_weight(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Store weights in 4 bits, with a scale per group of 32."""
    options = {"ratio": 1.0, "group_size": 32, "all_layers": True}
    _compress_weights(given, path, left_out, mode="INT4_SYM", **options)


def _make_int8(
    given: StageInput,
    path: Path,
    left_out: Sequence[str],
    kinds: Sequence[str] = (),
    precision: str = "",
    **named: str,
) -> None:
    """Quantize OpenVINO's own model with a preset of NNCF's.

    Args:
        given: The stage's input.
        path: The file to write.
        left_out: Names of layers to leave as they are.
        kinds: The operators to quantize; by default all that the preset does.
        precision: What the rest computes in; OpenVINO's default otherwise.
        named: Further arguments of `nncf.quantize`, as the names of their values.
    """
    import nncf
    from nncf.quantization import advanced_parameters as advanced

    from paretune.runners.build.schemes.nncf_ways import calibrations

    choices = {"preset": nncf.QuantizationPreset, "model_type": nncf.ModelType}
    options = {name: choices[name][value] for name, value in named.items()}
    model = _read(given.parent_file)
    others = {op.get_type_name() for op in model.get_ops()} - {*_NO_OPERATORS, *kinds}
    ignored = nncf.IgnoredScope(_names(model, left_out), types=sorted(others) if kinds else [])
    feeds = calibration_feeds(given)

    def quantized(parameters: Mapping[str, Any]) -> Any:
        return nncf.quantize(
            model,
            nncf.Dataset(feeds),
            subset_size=len(feeds),
            ignored_scope=ignored,
            advanced_parameters=advanced.AdvancedQuantizationParameters(**parameters),
            **options,
        )

    known = calibrations(is_transformer="model_type" in options)
    ways = {way: partial(quantized, parameters) for way, parameters in known.items()}
    found, way = nearest(ways, _outputs_on, feeds, partial(_outputs_on, model))
    found.set_rt_info(way, [_ROOM, "calibration"])
    if precision:
        found.set_rt_info(precision, [_ROOM, "inference_precision"])
    _save(found, path)


def _compress_weights(
    given: StageInput, path: Path, left_out: Sequence[str], mode: str, **options: Any
) -> None:
    import nncf
    from nncf.quantization import advanced_parameters as advanced

    model = _read(given.parent_file)
    if "group_size" in options:
        # Rows that groups do not divide get smaller ones, or 8 bits.
        options["advanced_parameters"] = advanced.AdvancedCompressionParameters(
            group_size_fallback_mode=advanced.GroupSizeFallbackMode.ADJUST
        )
    ignored = nncf.IgnoredScope(names=_names(model, left_out))
    kind = nncf.CompressWeightsMode[mode]
    _save(nncf.compress_weights(model, mode=kind, ignored_scope=ignored, **options), path)


def _read(file: Path) -> Any:
    """Return an ONNX file as OpenVINO's model.

    Raises:
        StageError: If OpenVINO cannot convert it.
    """
    try:
        return import_openvino().Core().read_model(file)
    except Exception as error:
        raise StageError(FailureKind.UNSUPPORTED, conversion_reason(error)) from error


def _save(model: Any, path: Path, *, is_half: bool = False) -> None:
    """Save a model; weights of floating point in 16 bits if ``is_half``, else as they are."""
    import_openvino().save_model(model, path, compress_to_fp16=is_half)


def _names(model: Any, layers: Sequence[str]) -> list[str]:
    """Return what OpenVINO calls layers of the ONNX file: by their names, perhaps with a part."""
    parts = tuple(f"{name}/" for name in layers)
    names = [op.get_friendly_name() for op in model.get_ops() if op.get_type_name() != "Constant"]
    return [name for name in names if name in layers or name.startswith(parts)]


def _outputs_on(model: Any, feeds: Feeds) -> Answers:
    """Return each of a model's numeric outputs for all feeds, concatenated."""
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = import_openvino().Core().compile_model(model, "CPU", options)
    wanted = {name for port in compiled.inputs for name in port.get_names()}
    given = [{name: feed[name] for name in feed if name in wanted} for feed in feeds]
    return joined([list(compiled(feed).values()) for feed in given])

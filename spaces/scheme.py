"""A scheme: a way to store weights and activations in fewer bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from paretune.spaces.registry import Reference, Registry

Mode = Literal["none", "cast", "static", "dynamic", "weight"]
_FINENESS: Mapping[Mode, int] = {"none": 0, "cast": 1}


@dataclass(frozen=True)
class SchemeRecord:
    """A quantization scheme: what it does to a model, and what does it.

    Attributes:
        name: The value of the axis ``quantization``, in study files and in everything kept.
        words: What it does, in half a line.
        weight_bits: Bits that one stored weight takes.
        activation_bits: Bits that one activation takes inside a quantized operator.
        mode: How it is applied: not at all, as a cast, or with activations whose scale is found
            once (``static``), in every call (``dynamic``) or that stay as they are (``weight``).
        makers: What makes it, by the format's name (a format can name more, see ``FormatRecord``).
            A function takes the ``StageInput`` of the stage ``quantize``, the path to write to and
            the names of the layers to leave alone; ``None`` stands for a format whose export makes
            it. Where nothing is done (``none``), every format will do.
        version: Part of the key of what it makes: raise it when the same input would give another
            file.
        needs_training: Whether the model is trained with simulated rounding first (the stage
            ``qat``), which an ONNX file cannot be.
        made_as: The scheme whose makers are used after that training, if it is another.
        operators: The ONNX operators whose weights it quantizes. It is not tried on a file without
            any of them; on every file if this is empty.
        leaves_layers: Whether ``fp32_layer_share`` of the layers can be left in fp32.
        least_opset: The first ONNX opset that has its operators.
        is_informative: Whether a search should try it right after the baseline.
        color: Its color in plots.
    """

    name: str
    words: str
    weight_bits: int
    activation_bits: int
    mode: Mode
    makers: Mapping[str, Reference | None] = field(default_factory=dict)
    version: int = 1
    needs_training: bool = False
    made_as: str | None = None
    operators: tuple[str, ...] = ()
    leaves_layers: bool = False
    least_opset: int = 0
    is_informative: bool = False
    color: str = "#7f7f7f"

    def is_no_coarser(self, other: SchemeRecord) -> bool:
        """Return whether nothing is stored in fewer bits: fp32, then 16 bits, then all others."""
        return self.name == other.name or _FINENESS.get(self.mode, 2) < _FINENESS.get(other.mode, 2)


_OWN = (
    "fp32",
    "fp16",
    "bf16",
    "int8_static",
    "int8_qat",
    "int8_dynamic",
    "int8_weight",
    "int4_weight",
    "int8_layers",
    "int8_transformer",
    "fp32_cast",
)

_OF_OPENVINO = (
    "int8_transformer",
    "int8_transformer_bf16",
    "int8",
    "int8_matrices",
    "int8_matrices_bf16",
    "int8_mixed",
    "int8_weight",
    "int4_weight",
)
_ROOM = "paretune.spaces.schemes"

SCHEMES: Registry[SchemeRecord] = Registry(
    "quantization",
    "paretune.schemes",
    [
        *(f"{_ROOM}.{name}:{name.upper()}" for name in _OWN),
        *(f"{_ROOM}.openvino.{name}:OPENVINO_{name.upper()}" for name in _OF_OPENVINO),
    ],
)
"""All schemes."""

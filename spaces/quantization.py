"""The schemes that store weights and activations in fewer bits."""

from enum import StrEnum
from typing import Literal, NamedTuple

Mode = Literal["none", "cast", "static", "dynamic", "weight"]


class _Scheme(NamedTuple):
    weight_bits: int
    activation_bits: int
    mode: Mode


class Quantization(StrEnum):
    """One quantization scheme; its value is the name used in study files.

    ======================  ============  ================  ======================================
    name                    weight bits   activation bits   how activations get their scale
    ======================  ============  ================  ======================================
    ``fp32``                32            32                not quantized
    ``fp16``                16            16                not quantized, cast to half precision
    ``int8-static``         8             8                 once, from the calibration split
    ``int8-qat``            8             8                 as int8-static, after a fine-tuning with
                                                            simulated rounding
    ``int8-dynamic``        8             8                 at run time, for each batch
    ``int8-weight``         8             32                activations stay fp32
    ``int4-weight``         4             32                activations stay fp32
    ======================  ============  ================  ======================================
    """

    FP32 = "fp32"
    FP16 = "fp16"
    INT8_STATIC = "int8-static"
    INT8_QAT = "int8-qat"
    INT8_DYNAMIC = "int8-dynamic"
    INT8_WEIGHT = "int8-weight"
    INT4_WEIGHT = "int4-weight"

    @property
    def weight_bits(self) -> int:
        """Bits per stored weight."""
        return _SCHEMES[self].weight_bits

    @property
    def activation_bits(self) -> int:
        """Bits per activation inside a quantized operator."""
        return _SCHEMES[self].activation_bits

    @property
    def mode(self) -> Mode:
        """How the scheme is applied: none, cast, static, dynamic or weight (only)."""
        return _SCHEMES[self].mode

    def is_no_coarser(self, other: "Quantization") -> bool:
        """Tell whether it is no coarser than another: fp32 before fp16 before all others."""
        whole = (Quantization.FP32, Quantization.FP16)
        return self in (other, whole[0]) or (self == whole[1] and other not in whole)


_SCHEMES = {
    Quantization.FP32: _Scheme(32, 32, "none"),
    Quantization.FP16: _Scheme(16, 16, "cast"),
    Quantization.INT8_STATIC: _Scheme(8, 8, "static"),
    Quantization.INT8_QAT: _Scheme(8, 8, "static"),
    Quantization.INT8_DYNAMIC: _Scheme(8, 8, "dynamic"),
    Quantization.INT8_WEIGHT: _Scheme(8, 32, "weight"),
    Quantization.INT4_WEIGHT: _Scheme(4, 32, "weight"),
}

PROGRAM_QUANTIZATIONS = (Quantization.FP32, Quantization.FP16)
"""The schemes of PyTorch's exported programs; the other schemes make ONNX files."""

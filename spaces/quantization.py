"""A scheme's name as a value of the axis ``quantization``."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

from paretune.spaces.scheme import SCHEMES, Mode, SchemeRecord


class Quantization(str):
    """The name of a scheme; what it says of the scheme is what the scheme's record says.

    It equals its text, and is kept as such. The constants are Paretune's own schemes; others come
    from :data:`paretune.spaces.SCHEMES`.

    ======================  ============  ================  ======================================
    name                    weight bits   activation bits   how activations get their scale
    ======================  ============  ================  ======================================
    ``fp32``                32            32                not quantized
    ``fp32-cast``           32            32                not quantized, cast from float64
    ``fp16``                16            16                not quantized, cast to half precision
    ``bf16``                16            16                not quantized, cast to bfloat16
    ``int8-static``         8             8                 once, from the calibration split
    ``int8-layers``         8             8                 as int8-static, around layers alone
    ``int8-transformer``    8             8                 as int8-layers, after SmoothQuant
    ``int8-qat``            8             8                 as int8-static, after a fine-tuning with
                                                            simulated rounding
    ``int8-dynamic``        8             8                 at run time, for each batch
    ``int8-weight``         8             32                activations stay fp32
    ``int4-weight``         4             32                activations stay fp32
    ======================  ============  ================  ======================================

    Names of schemes of OpenVINO's own model begin with ``openvino-``; ``-bf16`` at the end says
    that what is not quantized computes in bfloat16.
    """

    __slots__ = ()

    FP32: ClassVar[Quantization]
    FP16: ClassVar[Quantization]
    BF16: ClassVar[Quantization]
    INT8_STATIC: ClassVar[Quantization]
    INT8_QAT: ClassVar[Quantization]
    INT8_DYNAMIC: ClassVar[Quantization]
    INT8_WEIGHT: ClassVar[Quantization]
    INT4_WEIGHT: ClassVar[Quantization]

    def __deepcopy__(self, memo: object) -> Quantization:
        return self  # as text is: candidates are copied in hundreds of thousands

    @property
    def value(self) -> str:
        """The name as a plain text."""
        return str(self)

    @property
    def record(self) -> SchemeRecord:
        """The scheme.

        Raises:
            SpaceError: If no scheme has this name.
        """
        return SCHEMES.get(self)

    @property
    def weight_bits(self) -> int:
        """Bits per stored weight."""
        return self.record.weight_bits

    @property
    def activation_bits(self) -> int:
        """Bits per activation inside a quantized operator."""
        return self.record.activation_bits

    @property
    def mode(self) -> Mode:
        """How the scheme is applied: none, cast, static, dynamic or weight (only)."""
        return self.record.mode

    def is_no_coarser(self, other: Quantization) -> bool:
        """Return whether it is no coarser than another: fp32, then 16 bits, then all others."""
        return _is_no_coarser(self, other)


@cache  # asked for hundreds of thousands of pairs of a few names
def _is_no_coarser(one: Quantization, other: Quantization) -> bool:
    return one.record.is_no_coarser(other.record)


Quantization.FP32 = Quantization("fp32")
Quantization.FP16 = Quantization("fp16")
Quantization.BF16 = Quantization("bf16")
Quantization.INT8_STATIC = Quantization("int8-static")
Quantization.INT8_QAT = Quantization("int8-qat")
Quantization.INT8_DYNAMIC = Quantization("int8-dynamic")
Quantization.INT8_WEIGHT = Quantization("int8-weight")
Quantization.INT4_WEIGHT = Quantization("int4-weight")

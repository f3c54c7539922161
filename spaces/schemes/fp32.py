"""Not quantized."""

from paretune.spaces.scheme import SchemeRecord

FP32 = SchemeRecord(
    name="fp32",
    words="not quantized",
    weight_bits=32,
    activation_bits=32,
    mode="none",
    color="#4c5b6b",
)

"""bfloat16: the range of fp32, with 8 bits of precision."""

from paretune.spaces.scheme import SchemeRecord

BF16 = SchemeRecord(
    name="bf16",
    words="not quantized, cast to bfloat16",
    weight_bits=16,
    activation_bits=16,
    mode="cast",
    makers={
        "pt2": None,
        "openvino": "paretune.runners.build.schemes.openvino_model:make_bf16",
    },
    is_informative=True,
    color="#cc79a7",
)

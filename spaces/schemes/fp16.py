"""Half precision."""

from paretune.spaces.scheme import SchemeRecord

FP16 = SchemeRecord(
    name="fp16",
    words="not quantized, cast to half precision",
    weight_bits=16,
    activation_bits=16,
    mode="cast",
    makers={"onnx": "paretune.runners.build.schemes.half:make", "pt2": None},
    color="#8a63d2",
)

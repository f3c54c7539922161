"""Single precision, for files that compute in double precision."""

from paretune.spaces.scheme import SchemeRecord

FP32_CAST = SchemeRecord(
    name="fp32-cast",
    words="not quantized, cast from float64 to fp32",
    weight_bits=32,
    activation_bits=32,
    mode="cast",
    makers={"onnx": "paretune.runners.build.schemes.half:make_fp32"},
    color="#7f7f7f",
)

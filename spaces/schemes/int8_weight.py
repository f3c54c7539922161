"""Weights in 8 bits; activations stay fp32."""

from paretune.spaces.scheme import SchemeRecord

INT8_WEIGHT = SchemeRecord(
    name="int8-weight",
    words="activations stay fp32",
    weight_bits=8,
    activation_bits=32,
    mode="weight",
    makers={"onnx": "paretune.runners.build.schemes.weight_only:make_int8"},
    operators=("MatMul", "Gemm"),
    leaves_layers=True,
    least_opset=13,
    color="#e69f00",
)

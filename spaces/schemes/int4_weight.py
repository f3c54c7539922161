"""Weights in 4 bits; activations stay fp32."""

from paretune.spaces.scheme import SchemeRecord

INT4_WEIGHT = SchemeRecord(
    name="int4-weight",
    words="activations stay fp32",
    weight_bits=4,
    activation_bits=32,
    mode="weight",
    makers={"onnx": "paretune.runners.build.schemes.weight_only:make_int4"},
    operators=("MatMul", "Gemm"),
    leaves_layers=True,
    least_opset=21,  # the first whose DequantizeLinear takes int4
    color="#d55e00",
)

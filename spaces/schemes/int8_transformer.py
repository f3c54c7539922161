"""Static int8 of matrix products, after SmoothQuant."""

from paretune.spaces.scheme import SchemeRecord

INT8_TRANSFORMER = SchemeRecord(
    name="int8-transformer",
    words="matrix products as int8-static, after SmoothQuant",
    weight_bits=8,
    activation_bits=8,
    mode="static",
    makers={"onnx": "paretune.runners.build.schemes.static_int8:make_transformer"},
    operators=("MatMul", "Gemm"),
    leaves_layers=True,
    least_opset=13,
    color="#117733",
)

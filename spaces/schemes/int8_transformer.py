"""Static int8 by NNCF's preset for transformers, after SmoothQuant."""

from paretune.spaces.scheme import SchemeRecord

INT8_TRANSFORMER = SchemeRecord(
    name="int8-transformer",
    words="as int8-layers; matrix products after SmoothQuant",
    weight_bits=8,
    activation_bits=8,
    mode="static",
    makers={"onnx": "paretune.runners.build.schemes.static_int8:make_transformer"},
    operators=("MatMul", "Gemm", "Conv", "ConvTranspose"),
    leaves_layers=True,
    least_opset=13,
    color="#117733",
)

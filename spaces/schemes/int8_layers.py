"""Static int8 of the layers alone; what lies between them stays in fp32."""

from paretune.spaces.scheme import SchemeRecord

INT8_LAYERS = SchemeRecord(
    name="int8-layers",
    words="convolutions and matrix products as int8-static, the rest in fp32",
    weight_bits=8,
    activation_bits=8,
    mode="static",
    makers={"onnx": "paretune.runners.build.schemes.layers_int8:make"},
    operators=("MatMul", "Gemm", "Conv", "ConvTranspose"),
    leaves_layers=True,
    least_opset=13,
    is_informative=True,
    color="#332288",
)

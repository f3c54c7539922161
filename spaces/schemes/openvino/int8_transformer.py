"""Int8 of OpenVINO's model: matrix products, after SmoothQuant."""

from paretune.spaces.scheme import SchemeRecord

OPENVINO_INT8_TRANSFORMER = SchemeRecord(
    name="openvino-int8-transformer",
    words="int8 of OpenVINO's model: matrix products, after SmoothQuant",
    weight_bits=8,
    activation_bits=8,
    mode="static",
    makers={"openvino": "paretune.runners.build.schemes.openvino_model:make_int8_transformer"},
    operators=("MatMul", "Gemm"),
    leaves_layers=True,
    least_opset=13,
    color="#5ec962",
)

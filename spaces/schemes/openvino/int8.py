"""Int8 of OpenVINO's model by NNCF: symmetric activations."""

from paretune.spaces.scheme import SchemeRecord

OPENVINO_INT8 = SchemeRecord(
    name="openvino-int8",
    words="int8 of OpenVINO's model by NNCF: symmetric activations",
    weight_bits=8,
    activation_bits=8,
    mode="static",
    makers={"openvino": "paretune.runners.build.schemes.openvino_model:make_int8"},
    operators=("MatMul", "Gemm", "Conv", "ConvTranspose"),
    leaves_layers=True,
    least_opset=13,
    color="#3b528b",
)

"""Int8 of OpenVINO's own model by NNCF, with a zero point for activations."""

from paretune.spaces.scheme import SchemeRecord

OPENVINO_INT8_MIXED = SchemeRecord(
    name="openvino-int8-mixed",
    words="int8 of OpenVINO's model, with a zero point for activations",
    weight_bits=8,
    activation_bits=8,
    mode="static",
    makers={"openvino": "paretune.runners.build.schemes.openvino_model:make_int8_mixed"},
    operators=("MatMul", "Gemm", "Conv", "ConvTranspose"),
    leaves_layers=True,
    least_opset=13,
    color="#21918c",
)

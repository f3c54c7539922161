"""Weights of OpenVINO's model; activations are rounded at run time."""

from paretune.spaces.scheme import SchemeRecord

OPENVINO_INT8_WEIGHT = SchemeRecord(
    name="openvino-int8-weight",
    words="weights of OpenVINO's model; activations are rounded at run time",
    weight_bits=8,
    activation_bits=32,
    mode="weight",
    makers={"openvino": "paretune.runners.build.schemes.openvino_model:make_int8_weight"},
    operators=("MatMul", "Gemm"),
    leaves_layers=True,
    least_opset=13,
    color="#a05195",
)

"""As openvino-int8-weight, in 4 bits."""

from paretune.spaces.scheme import SchemeRecord

OPENVINO_INT4_WEIGHT = SchemeRecord(
    name="openvino-int4-weight",
    words="as openvino-int8-weight, in 4 bits",
    weight_bits=4,
    activation_bits=32,
    mode="weight",
    makers={"openvino": "paretune.runners.build.schemes.openvino_model:make_int4_weight"},
    operators=("MatMul", "Gemm"),
    leaves_layers=True,
    least_opset=13,
    color="#f95d6a",
)

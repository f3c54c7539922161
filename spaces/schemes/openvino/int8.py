"""Static int8 of the ONNX file in OpenVINO's format; what is not quantized computes in bfloat16."""

from paretune.spaces.scheme import SchemeRecord

OPENVINO_INT8 = SchemeRecord(
    name="openvino-int8",
    words="as int8-static, in OpenVINO's format; the rest computes in bfloat16",
    weight_bits=8,
    activation_bits=8,
    mode="static",
    makers={"openvino": "paretune.runners.build.schemes.openvino_model:make_int8"},
    operators=("MatMul", "Gemm", "Conv", "ConvTranspose"),
    leaves_layers=True,
    least_opset=13,
    color="#3b528b",
)

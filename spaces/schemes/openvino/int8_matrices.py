"""Int8 of the matrix products in OpenVINO's model.

It serves models whose convolutions lose too much in integers: at a cosine of .999 the best that a
search found for a MobileNet with drawn weights was 1.13 times faster than fp32 in ONNX Runtime, and
1.07 times in a run before there was this scheme.
"""

from paretune.spaces.scheme import SchemeRecord

OPENVINO_INT8_MATRICES = SchemeRecord(
    name="openvino-int8-matrices",
    words="int8 of the matrix products in OpenVINO's model, after SmoothQuant",
    weight_bits=8,
    activation_bits=8,
    mode="static",
    makers={"openvino": "paretune.runners.build.schemes.openvino_model:make_int8_matrices"},
    operators=("MatMul", "Gemm"),
    leaves_layers=True,
    least_opset=13,
    color="#b5de2b",
)

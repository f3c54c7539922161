"""Static int8: ranges of activations are found once, from the calibration split."""

from paretune.spaces.scheme import SchemeRecord

INT8_STATIC = SchemeRecord(
    name="int8-static",
    words="activations get their scale once, from the calibration split",
    weight_bits=8,
    activation_bits=8,
    mode="static",
    makers={"onnx": "paretune.runners.build.schemes.static_int8:make"},
    operators=("MatMul", "Gemm", "Conv", "ConvTranspose"),
    leaves_layers=True,
    least_opset=13,  # the first whose DequantizeLinear takes a scale per channel
    is_informative=True,
    color="#0072b2",
)

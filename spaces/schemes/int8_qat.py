"""Static int8 after a training in which rounding is simulated (quantization-aware training)."""

from paretune.spaces.scheme import SchemeRecord

INT8_QAT = SchemeRecord(
    name="int8-qat",
    words="as int8-static, after a fine-tuning in which rounding is simulated",
    weight_bits=8,
    activation_bits=8,
    mode="static",
    makers={"onnx": "paretune.runners.build.schemes.static_int8:make"},
    needs_training=True,
    made_as="int8-static",
    operators=("MatMul", "Gemm", "Conv", "ConvTranspose"),
    leaves_layers=True,
    least_opset=13,
    color="#56b4e9",
)

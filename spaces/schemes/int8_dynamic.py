"""Dynamic int8: ranges of activations are found in every call."""

from paretune.spaces.scheme import SchemeRecord

INT8_DYNAMIC = SchemeRecord(
    name="int8-dynamic",
    words="activations get their scale at run time, for each batch",
    weight_bits=8,
    activation_bits=8,
    mode="dynamic",
    makers={"onnx": "paretune.runners.build.schemes.dynamic_int8:make"},
    operators=("MatMul", "Gemm"),
    version=2,
    leaves_layers=True,
    color="#009e73",
)

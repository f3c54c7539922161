"""The kind of model file that a runtime takes."""

from typing import Literal

ModelFormat = Literal["onnx", "pt2"]

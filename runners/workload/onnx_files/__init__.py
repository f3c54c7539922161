"""ONNX files as people have them: their inputs and outputs, one form for all, their answers."""

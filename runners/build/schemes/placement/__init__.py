"""Placement: which layers of an ONNX model are better left as they are, by what was measured."""

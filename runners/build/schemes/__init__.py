"""What makes quantization schemes, one file each; each is imported when it is used.

A maker takes the input of the stage ``quantize``, the path to write to and the names of the layers
to leave in fp32.
"""

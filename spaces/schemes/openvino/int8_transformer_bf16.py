"""Int8 by NNCF's preset for transformers, in which the rest computes in bfloat16.

On a detector with SiLU, whose activations between the convolutions are not quantized, it is 2 %
faster than with the rest in fp32; on a small encoder it is slower.
"""

from dataclasses import replace

from paretune.spaces.schemes.openvino.int8_transformer import OPENVINO_INT8_TRANSFORMER

OPENVINO_INT8_TRANSFORMER_BF16 = replace(
    OPENVINO_INT8_TRANSFORMER,
    name="openvino-int8-transformer-bf16",
    words="as openvino-int8-transformer; the rest computes in bfloat16",
    makers={"openvino": "paretune.runners.build.schemes.openvino_model:make_int8_transformer_bf16"},
    is_informative=False,
    color="#86d549",
)

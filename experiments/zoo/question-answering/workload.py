"""A question answering model of Hugging Face: two logits per word, as a ModelOutput."""

import numpy as np
from torch import nn
from transformers import BertConfig, BertForQuestionAnswering

from paretune import Data, Recipe, Split, Workload

LENGTH, WORDS = 24, 200


class Answers(Workload):
    """Where the answer starts and ends: after word 4, up to word 5."""

    def models(self):
        sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        config = BertConfig(vocab_size=WORDS, intermediate_size=128, **sizes)
        return {"reference": lambda: BertForQuestionAnswering(config)}

    def data(self):
        rng = np.random.default_rng(0)
        tokens = rng.integers(10, WORDS, (1800, LENGTH))
        lengths = rng.integers(8, LENGTH + 1, len(tokens))
        mask = (np.arange(LENGTH) < lengths[:, None]).astype(np.int64)
        starts, ends = rng.integers(0, 4, len(tokens)), rng.integers(4, 8, len(tokens))
        tokens[np.arange(len(tokens)), starts] = 4
        tokens[np.arange(len(tokens)), ends] = 5
        tokens *= mask

        def split(start: int, end: int) -> Split:
            named = {"input_ids": tokens[start:end], "attention_mask": mask[start:end]}
            return Split(named, np.stack([starts, ends], 1)[start:end])

        return Data(split(0, 1000), split(1000, 1100), split(1100, 1450), split(1450, 1800))

    def loss(self, outputs, targets, teacher):
        both = zip((outputs["start_logits"], outputs["end_logits"]), targets.T, strict=True)
        return sum(nn.functional.cross_entropy(logits, right) for logits, right in both)

    def quality(self, outputs, targets):
        given = [outputs[name].argmax(1) for name in ("start_logits", "end_logits")]
        return float((np.stack(given, 1) == targets).all(1).mean())

    def recipe(self):
        return Recipe(reference_epochs=12, fine_tune_epochs=4)

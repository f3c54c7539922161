"""A BERT of Hugging Face, built from its configuration: two inputs by name, a ModelOutput."""

import numpy as np
from transformers import BertConfig, BertForSequenceClassification

from paretune import Data, Recipe, Split, Workload

LENGTH, WORDS = 24, 200


class Sentences(Workload):
    """Which of four words comes first: a task that attention learns in a few epochs."""

    def models(self):
        sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        config = BertConfig(vocab_size=WORDS, intermediate_size=128, num_labels=4, **sizes)
        return {"reference": lambda: BertForSequenceClassification(config)}

    def data(self):
        rng = np.random.default_rng(0)
        tokens = rng.integers(10, WORDS, (1800, LENGTH))
        lengths = rng.integers(8, LENGTH + 1, len(tokens))
        mask = (np.arange(LENGTH) < lengths[:, None]).astype(np.int64)
        labels = rng.integers(0, 4, len(tokens))
        tokens[np.arange(len(tokens)), rng.integers(0, 8, len(tokens))] = 4 + labels
        tokens *= mask

        def split(start: int, end: int) -> Split:
            named = {"input_ids": tokens[start:end], "attention_mask": mask[start:end]}
            return Split(named, labels[start:end])

        return Data(split(0, 1000), split(1000, 1100), split(1100, 1450), split(1450, 1800))

    def recipe(self):
        return Recipe(reference_epochs=12, fine_tune_epochs=4)

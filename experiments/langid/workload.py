"""Langid: which of 36 languages is a short name in? Names from the Unicode CLDR, in Babel's wheel.

Countries, languages, currencies and scripts as each language writes them (Unicode Common Locale
Data Repository, https://cldr.unicode.org), 3 to 24 characters: "Ungarn", "forint hongrois". Many
neighbours among the languages make it hard (Danish and Norwegian, Indonesian and Malay, Czech and
Slovak), and names that two of them share are left out. The model is an encoder-only transformer
over characters (Vaswani et al., "Attention Is All You Need", 2017,
https://arxiv.org/abs/1706.03762), normalized before each part (Xiong et al., "On Layer
Normalization in the Transformer Architecture", 2020, https://arxiv.org/abs/2002.04745).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from babel import Locale
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from paretune import Data, Recipe, Split, Workload

LANGUAGES = (
    "af", "az", "bg", "bs", "ca", "cs", "cy", "da", "de", "en", "es", "et", "eu", "fi", "fil",
    "fr", "ga", "gl", "hr", "hu", "id", "is", "it", "lt", "lv", "ms", "nb", "nl", "pl", "pt", "ro",
    "sk", "sl", "sv", "sw", "tr",
)  # fmt: skip
LENGTH = 24
HEAD_WIDTH = 32
PADDING, UNKNOWN = 0, 1


class LangNet(nn.Module):
    """Characters and their places, blocks of attention and perceptron, a mean, a classifier.

    Args:
        characters: Size of the alphabet, padding and unknown included.
        width: Values per character between the blocks; an attention head has 32 of them.
        depth: Number of blocks.
    """

    def __init__(self, characters: int, width: int, depth: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(characters, width)
        self.places = nn.Embedding(LENGTH, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, len(LANGUAGES))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens of shape (batch, 24) to logits of shape (batch, languages)."""
        is_there = tokens != PADDING
        # Added to attention's scores, of shape (batch, head, from, to).
        mask = torch.where(is_there, 0.0, -1e4)[:, None, None, :]
        places = torch.arange(LENGTH, device=tokens.device)
        values = self.characters(tokens) + self.places(places)
        for block in self.blocks:
            values = block(values, mask)
        share = is_there / is_there.sum(dim=1, keepdim=True)
        logits: Tensor = self.classifier((self.norm(values) * share[:, :, None]).sum(dim=1))
        return logits


class Block(nn.Module):
    """Attention, then a perceptron; each adds to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.attended = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width)
        )

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Map values of shape (batch, length, width) to values of the same shape."""
        normal = self.before_attention(values)
        heads = (self._heads(part(normal)) for part in (self.query, self.key, self.value))
        mixed = functional.scaled_dot_product_attention(*heads, attn_mask=mask)
        values = values + self.attended(mixed.transpose(1, 2).flatten(2))
        added: Tensor = self.perceptron(values)
        return values + added

    @staticmethod
    def _heads(values: Tensor) -> Tensor:
        # The number of heads follows from the width: pruning removes whole heads.
        return values.unflatten(2, (-1, HEAD_WIDTH)).transpose(1, 2)


class LangId(Workload):
    """A reference of four blocks; students that are shallower, narrower or both."""

    def __init__(self) -> None:
        self._data, self._characters = _data()

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Return the reference and its students, largest first."""
        shapes = {
            "reference": (128, 4),
            "shallow": (128, 2),
            "narrow": (64, 4),
            "small": (64, 2),
            "single": (128, 1),
            "tiny": (64, 1),
        }
        return {
            name: partial(LangNet, self._characters, width, depth)
            for name, (width, depth) in shapes.items()
        }

    def data(self) -> Data:
        """Divide: 500 names to calibrate, 2,000 to validate, 2,000 to test, the rest to train."""
        return self._data

    def attention_heads(self, model: nn.Module) -> Mapping[nn.Module, int]:
        """Return the heads of each projection."""
        return {
            layer: layer.out_features // HEAD_WIDTH
            for block in model.modules()
            if isinstance(block, Block)
            for layer in (block.query, block.key, block.value)
        }

    def recipe(self) -> Recipe:
        """Return few epochs of large batches, and widths that int4's groups of 32 divide."""
        return Recipe(
            reference_epochs=10,
            distill_epochs=30,
            fine_tune_epochs=8,
            batch_size=128,
            learning_rate=2e-3,
            width_multiple=32,
        )


def names(language: str) -> set[str]:
    """Return a language's names of countries, languages, currencies and scripts."""
    locale = Locale(language)
    kinds: Sequence[Mapping[str, str]] = (
        locale.territories,
        locale.languages,
        locale.currencies,
        locale.scripts,
    )
    found = {name.strip() for kind in kinds for name in kind.values()}
    return {name for name in found if 3 <= len(name) <= LENGTH}


def _data() -> tuple[Data, int]:
    """Return the splits, and the size of the alphabet."""
    languages_of: dict[str, list[int]] = {}
    for number, language in enumerate(LANGUAGES):
        for name in names(language):
            languages_of.setdefault(name, []).append(number)
    own = sorted((name, owners[0]) for name, owners in languages_of.items() if len(owners) == 1)
    order = np.random.default_rng(0).permutation(len(own))
    parts = np.split(order, [500, 2500, 4500])
    texts = [[own[row][0] for row in part] for part in parts]
    alphabet = sorted({character for text in texts[3] for character in text})
    tokens_of = {character: place for place, character in enumerate(alphabet, UNKNOWN + 1)}
    calibration, validation, test, train = (
        Split(encode(each, tokens_of), np.array([own[row][1] for row in part]))
        for each, part in zip(texts, parts, strict=True)
    )
    return Data(train, calibration, validation, test), len(alphabet) + 2


def encode(texts: Sequence[str], tokens_of: Mapping[str, int]) -> NDArray[np.int64]:
    """Return tokens of shape (texts, 24), padded at the end."""
    tokens = np.full((len(texts), LENGTH), PADDING)
    for row, text in enumerate(texts):
        tokens[row, : len(text)] = [tokens_of.get(character, UNKNOWN) for character in text]
    return tokens

"""The service around the reader of text: a phone's picture of a line comes in, its text goes out.

``AXES`` are the choices that a service has: how the picture is decoded, by which library, how it is
made smaller, and how many threads decode the pictures of a batch. ``scaled`` asks the decoder of
JPEG for a picture of a half, a quarter or an eighth of the size: it skips the parts of the inverse
cosine transform that a smaller picture does not need (libjpeg's documentation, "scale_num").
"""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

AXES = {
    "image_decoder": ["full", "scaled"],
    "resampling": ["bicubic", "bilinear", "box"],
    "preprocess_workers": [1, 2],
}
HEIGHT, WIDTH = 48, 192
"""Pixels of the model's input."""

OVERSAMPLED = 2
"""A scaled picture has at least so many times the model's pixels, in each direction."""

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
}
ALPHABET = Path(__file__).with_name("results") / "photos" / "alphabet.txt"


def decode(
    photos: Sequence[bytes], image_decoder: str = "full", preprocess_workers: int = 1
) -> list[Image.Image]:
    """Return the pictures of encoded photos."""

    def one(photo: bytes) -> Image.Image:
        image = Image.open(io.BytesIO(photo))
        if image_decoder == "scaled":
            image.draft("L", (OVERSAMPLED * WIDTH, OVERSAMPLED * HEIGHT))
        return image.convert("L")

    if preprocess_workers == 1 or len(photos) == 1:
        return [one(photo) for photo in photos]
    with ThreadPoolExecutor(preprocess_workers) as workers:
        return list(workers.map(one, photos))


def resize(images: Sequence[Image.Image], resampling: str = "bicubic") -> list[np.ndarray]:
    """Return grey levels of the model's height; the width follows, as far as it fits."""
    small = []
    for image in images:
        wide = min(WIDTH, round(image.width * HEIGHT / image.height))
        small.append(np.asarray(image.resize((wide, HEIGHT), FILTERS[resampling])))
    return small


def normalize(images: Sequence[np.ndarray]) -> np.ndarray:
    """Return the model's input of shape (photos, 3, 48, 192), from -1 (black) to 1 (white)."""
    batch = np.zeros((len(images), 3, HEIGHT, WIDTH), np.float32)
    for place, image in enumerate(images):
        batch[place, :, :, : image.shape[1]] = image.astype(np.float32) / 127.5 - 1
    return batch


def read(scores: np.ndarray) -> list[str]:
    """Return the text of each line, by the likeliest class of each step (CTC, greedy)."""
    if not _LETTERS:
        _LETTERS.extend(ALPHABET.read_text("utf-8").split("\n"))
    best = scores.argmax(axis=2)
    is_new = np.diff(best, axis=1, prepend=0) != 0
    steps = zip(best, is_new & (best != 0), strict=True)
    return ["".join(_LETTERS[step] for step in row[kept]) for row, kept in steps]


_LETTERS: list[str] = []

preprocess = [decode, resize, normalize]
postprocess = [read]

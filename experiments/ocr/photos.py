"""Photos of lines of text, for the end-to-end study: `python experiments/ocr/photos.py`.

The lines and the fonts are those of `data.py`, seen by a phone: 3,072 pixels wide, unevenly lit, a
little out of focus, with a sensor's noise, encoded as JPEG. Writes `model.onnx`, `samples.npz`
(what the service makes of the photos today, and the texts), `photos.npz` (the photos) and
`alphabet.txt` into `results/photos` beside this file. `Photos` is the study's workload.
"""

import io
import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from paretune import OnnxWorkload
from paretune.runners.runtimes.launched.pipeline import load_requests, save_requests

HERE = Path(__file__).parent
FOLDER = HERE / "results" / "photos"
PHOTOS = 160
WIDTH, HEIGHT = 3072, 768
"""Pixels of a photo: a line of text on a picture of 8 megapixels."""

QUALITY = 90
"""Of JPEG, as cameras use it."""


class Photos(OnnxWorkload):
    """rapidocr's recognizer with the service around it."""

    model = "results/photos/model.onnx"
    samples = "results/photos/samples.npz"
    labels = "text"
    metric = "data.py:CharacterErrorRate"
    pipeline = "photo_pipeline.py"

    def requests(self, split: str) -> Sequence[bytes]:
        """Return the photos of a split, which are found by what the service makes of them."""
        photos = load_requests(FOLDER / "photos.npz")
        with np.load(FOLDER / "samples.npz") as whole:
            number = {picture.tobytes(): row for row, picture in enumerate(whole["x"])}
        return [photos[number[each.tobytes()]] for each in getattr(self.data(), split).inputs]


def main(folder: Path) -> None:
    """Write the model, the photos and the samples into a folder."""
    data, pipeline = beside("data"), beside("photo_pipeline")
    rng = np.random.default_rng(0)
    texts = data.lines(rng)[:PHOTOS]
    fonts = data.fonts()
    photos = [photo(text, str(rng.choice(fonts)), rng) for text in texts]
    pictures = photos
    for part in pipeline.preprocess:
        pictures = part(pictures)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(data.model_file().read_bytes())
    (folder / "alphabet.txt").write_text("\n".join(data.alphabet()), "utf-8")
    np.savez_compressed(folder / "samples.npz", x=pictures, text=np.array(texts))
    save_requests(folder / "photos.npz", photos)
    size = sum(map(len, photos)) / len(photos)
    print(f"{PHOTOS} photos of {WIDTH} x {HEIGHT}, {size / 1e3:.0f} kB each: {folder}")


def photo(line: str, font_file: str, rng: np.random.Generator) -> bytes:
    """Return a photo of a line, as JPEG."""
    size = int(rng.integers(380, 520))
    font = ImageFont.truetype(font_file, size)
    wide = font.getlength(line)
    font = ImageFont.truetype(font_file, int(size * min(1.0, (WIDTH - 160) / wide)))
    left, top, _, bottom = font.getbbox(line)
    image = Image.new("L", (WIDTH, HEIGHT), int(rng.integers(190, 256)))
    place = (80 - left, (HEIGHT - (bottom - top)) / 2 - top)
    ImageDraw.Draw(image).text(place, line, fill=int(rng.integers(0, 90)), font=font)
    image = image.rotate(
        rng.uniform(-1.5, 1.5), Image.Resampling.BICUBIC, fillcolor=image.getpixel((0, 0))
    )
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(2, 14)))
    light = np.linspace(*rng.uniform(0.7, 1.0, 2), WIDTH, dtype=np.float32)
    noise = rng.standard_normal((HEIGHT, WIDTH), np.float32) * np.float32(rng.uniform(2, 12))
    grey = np.clip(np.asarray(image, np.float32) * light + noise, 0, 255).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(grey).convert("RGB").save(encoded, "JPEG", quality=QUALITY)
    return encoded.getvalue()


def beside(name: str) -> Any:
    """Return the module of a file in this folder."""
    spec = spec_from_file_location(name, HERE / f"{name}.py")
    if spec is None or spec.loader is None:
        sys.exit(f"there is no {HERE / name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(FOLDER)

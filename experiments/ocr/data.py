"""A text recognition model and lines of text for it: `python experiments/ocr/data.py [FOLDER]`.

The model is the recognizer of PP-OCRv6 as the wheel of rapidocr ships it (ONNX, Apache-2.0,
https://github.com/RapidAI/RapidOCR). Pillow renders lines from Python's own manual, which every
installation has, in the fonts that come with matplotlib: in several sizes and shades, blurred,
turned a little, and with noise. Writes `model.onnx` and `samples.npz` (arrays `x` and `text`) into
FOLDER (`results` beside this file by default). `CharacterErrorRate` judges.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from paretune.metrics import ErrorRate, ctc_texts

MODEL = "PP-OCRv6_rec_small.onnx"
LINES = 320
HEIGHT, WIDTH = 48, 192
"""Pixels of a line: the height that the model takes, and a width that suits short lines."""

FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral")


def main(folder: Path) -> None:
    """Write the model and the samples into a folder."""
    rng = np.random.default_rng(0)
    texts = lines(rng)
    pictures = np.stack([picture(line, rng) for line in texts])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model_file().read_bytes())
    np.savez_compressed(folder / "samples.npz", x=pictures, text=np.array(texts))
    print(f"{LINES} lines in {len(FONTS)} fonts: {folder / 'samples.npz'}")


class CharacterErrorRate(ErrorRate):
    """Edits per character of what the model reads, by its likeliest class of each step."""

    def __init__(self) -> None:
        super().__init__("cer", ctc_texts(alphabet()))


def alphabet() -> list[str]:
    """Return the text of each of the model's classes: CTC's blank, its characters, and a space."""
    model = onnx.load(model_file(), load_external_data=False)
    (characters,) = (each.value for each in model.metadata_props if each.key == "character")
    return ["", *characters.splitlines(), " "]


def lines(rng: np.random.Generator) -> list[str]:
    """Return lines of 6 to 14 characters from Python's manual, one from every place drawn."""
    words = " ".join(topics[name] for name in sorted(topics)).split()
    plain = [word for word in words if word.isascii() and word.isprintable()]
    found = []
    while len(found) < LINES:
        start, length = int(rng.integers(len(plain) - 12)), int(rng.integers(6, 15))
        line = " ".join(plain[start : start + 12])[:length].strip()
        if len(line) >= 6:
            found.append(line)
    return found


def picture(line: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Render a line.

    Returns:
        Array of shape (3, 48, 192), grey levels from -1 (black) to 1 (white); zeros to the right of
        the line, as rapidocr pads it.
    """
    size = int(rng.integers(24, 40))
    font = ImageFont.truetype(rng.choice(fonts()), size)
    left, top, right, bottom = font.getbbox(line)
    paper, ink = int(rng.integers(170, 256)), int(rng.integers(0, 90))
    image = Image.new("L", (int(right - left) + 16, int(bottom - top) + 16), paper)
    ImageDraw.Draw(image).text((8 - left, 8 - top), line, fill=ink, font=font)
    image = image.rotate(rng.uniform(-1.5, 1.5), Image.Resampling.BICUBIC, fillcolor=paper)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.6)))
    wide = min(WIDTH, round(image.width * HEIGHT / image.height))
    grey = np.asarray(image.resize((wide, HEIGHT), Image.Resampling.BILINEAR), np.float32)
    grey = np.clip(grey + rng.normal(0, rng.uniform(0, 40), grey.shape), 0, 255)
    whole = np.zeros((3, HEIGHT, WIDTH), np.float32)
    whole[:, :, :wide] = grey / 127.5 - 1
    return whole


def fonts() -> list[str]:
    """Return the files of the fonts."""
    folder = _package("matplotlib") / "mpl-data/fonts/ttf"
    return [str(folder / f"{name}.ttf") for name in FONTS]


def model_file() -> Path:
    """Return the model's file in the wheel."""
    return _package("rapidocr") / "models" / MODEL


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"there is no package {name}: pip install '.[ocr]'")
    return Path(spec.origin).parent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "results")
    main(parser.parse_args().folder)

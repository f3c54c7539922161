"""The other two models of rapidocr: a detector of text lines, and a classifier of upside down ones."""

from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile

import numpy as np
from PIL import Image, ImageDraw, ImageFont

models = Path(find_spec("rapidocr").origin).parent / "models"
copyfile(models / "PP-OCRv6_det_small.onnx", "detector.onnx")
copyfile(models / "ch_ppocr_mobile_v2.0_cls_mobile.onnx", "direction.onnx")
rng = np.random.default_rng(0)
words = "the quick brown fox jumps over a lazy dog and reads Numbers 0123456789".split()


def page(width: int, height: int, lines: int) -> np.ndarray:
    image = Image.new("L", (width, height), int(rng.integers(180, 256)))
    draw = ImageDraw.Draw(image)
    for line in range(lines):
        text = " ".join(rng.choice(words, 4))
        place = (int(rng.integers(2, 20)), (line + 0.1) * height / lines)
        size = int(height / lines * rng.uniform(0.5, 0.8))
        draw.text(place, text, int(rng.integers(80)), ImageFont.load_default(size))
    return np.repeat(np.asarray(image, np.float32)[None] / 127.5 - 1, 3, axis=0)


np.savez("pages.npz", x=np.stack([page(320, 320, int(rng.integers(3, 9))) for _ in range(40)]))
lines = np.stack([page(192, 48, 1) for _ in range(240)])
turned = rng.integers(0, 2, len(lines))
lines[turned == 1] = lines[turned == 1][:, :, ::-1, ::-1]
np.savez("lines.npz", x=lines, turned=turned)

"""The recognizer of rapidocr, on rendered lines of text."""

import os
import runpy
import sys
from pathlib import Path

root = next(
    Path(p) for p in os.environ["PYTHONPATH"].split(os.pathsep) if Path(p, "experiments").is_dir()
)
sys.argv = ["data.py", "."]
runpy.run_path(str(root / "experiments/ocr/data.py"), run_name="__main__")
Path("character_accuracy.py").write_text(
    (root / "experiments/ocr/character_accuracy.py").read_text()
)

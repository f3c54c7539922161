"""The recognizer of rapidocr, on rendered lines of text."""

import runpy
import sys
from pathlib import Path

experiments = Path(sys.argv[1])
sys.argv = ["data.py", "."]
runpy.run_path(str(experiments / "ocr/data.py"), run_name="__main__")
Path("character_accuracy.py").write_text((experiments / "ocr/character_accuracy.py").read_text())

"""The recognizer of rapidocr, on rendered lines of text."""

import runpy
import sys
from pathlib import Path

experiments = Path(sys.argv[1])
sys.argv = ["data.py", "."]
runpy.run_path(str(experiments / "ocr/data.py"), run_name="__main__")
Path("data.py").write_text((experiments / "ocr/data.py").read_text("utf-8"), "utf-8")

"""Magika's model as its wheel ships it, on the files of this Python installation."""

import runpy
import sys
from pathlib import Path

experiments = Path(sys.argv[1])
sys.argv = ["data.py", "."]
runpy.run_path(str(experiments / "magika/data.py"), run_name="__main__")

"""Magika's model as its wheel ships it, on the files of this Python installation."""

import os
import runpy
import sys
from pathlib import Path

root = next(
    Path(p) for p in os.environ["PYTHONPATH"].split(os.pathsep) if Path(p, "experiments").is_dir()
)
sys.argv = ["data.py", "."]
runpy.run_path(str(root / "experiments/magika/data.py"), run_name="__main__")

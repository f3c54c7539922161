"""The script of a launch. Its argument is the path of a job file."""

import importlib
import sys
from pathlib import Path

_ROOM = str(Path(__file__).resolve().parents[1])

if __name__ == "__main__":
    # Last on the path, and only for this import: our modules must not hide the runtime's.
    sys.path.append(_ROOM)
    main = importlib.import_module("launched.main").main
    sys.path.remove(_ROOM)
    main(Path(sys.argv[1]))

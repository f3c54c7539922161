"""The script of a launch. Its argument is the path of a job file."""

import importlib
import sys
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
_ROOM = str(_FOLDER.parent)

if __name__ == "__main__":
    # Our modules must not hide the runtime's: the script's own folder is not on the path (Python's
    # -P does that as well, from 3.11 on), and the package is last on it, for this import only.
    sys.path[:] = [each for each in sys.path if Path(each or ".").resolve() != _FOLDER]
    sys.path.append(_ROOM)
    main = importlib.import_module("launched.main").main
    sys.path.remove(_ROOM)
    main(Path(sys.argv[1]))

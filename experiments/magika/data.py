"""Magika's model and labelled files for it: `python experiments/magika/data.py [FOLDER]`.

Magika tells the type of a file from its first and last kilobyte. Its wheel holds the model (ONNX,
Apache-2.0, https://github.com/google/magika). The files are those of this Python installation: the
standard library and the installed packages. The suffix of a file says what it is, by Magika's own
list of suffixes. Writes `model.onnx` and `samples.npz` (arrays `bytes` and `label`) into FOLDER
(`results` beside this file by default).
"""

import argparse
import hashlib
import json
import shutil
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MODEL = "standard_v3_3"
MOST_PER_LABEL = 40
"""Files of one type, so that Python's own do not crowd out the others."""

FEWEST_BYTES = 256
"""Shorter files, such as the snippets of test suites, say too little about what they are."""

AMBIGUOUS = {"txt", "pth", "m", "pl"}
"""Suffixes that say little: any text, Python's paths, Matlab or Objective-C, Perl or Prolog."""


def main(folder: Path) -> None:
    """Write the model and the samples into a folder."""
    package = _package()
    config = json.loads((package / f"models/{MODEL}/config.min.json").read_text("utf-8"))
    labels: list[str] = config["target_labels_space"]
    known = json.loads((package / "config/content_types_kb.min.json").read_text("utf-8"))
    suffixes = {end: name for name in labels for end in known[name]["extensions"]}
    found: dict[bytes, tuple[NDArray[np.int32], str]] = {}
    count: Counter[str] = Counter()
    for path, label in labelled_files(suffixes):
        row = features(path, config) if count[label] < MOST_PER_LABEL else None
        if row is not None and row.tobytes() not in found:
            found[row.tobytes()] = row, label
            count[label] += 1
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(package / f"models/{MODEL}/model.onnx", folder / "model.onnx")
    np.savez_compressed(
        folder / "samples.npz",
        bytes=np.stack([row for row, _ in found.values()]),
        label=np.array([labels.index(label) for _, label in found.values()]),
    )
    print(f"{len(found)} files of {len(count)} types: {folder / 'samples.npz'}")


def labelled_files(suffixes: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Yield this installation's files with their labels, in an order that depends on names alone.

    Args:
        suffixes: The label of each suffix.
    """
    files: dict[str, tuple[Path, str]] = {}
    for root in {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")}:
        for path in root.rglob("*"):
            suffix = path.suffix.lstrip(".")
            if suffix not in suffixes or suffix in AMBIGUOUS or not path.is_file():
                continue
            if path.stat().st_size >= FEWEST_BYTES:
                files[path.relative_to(root).as_posix()] = path, suffixes[suffix]
    for name in sorted(files, key=lambda name: hashlib.sha256(name.encode()).digest()):
        yield files[name]


def features(path: Path, config: Mapping[str, int]) -> NDArray[np.int32] | None:
    """Return a file's first and last bytes as the model takes them, or `None` if it has too few.

    Args:
        path: The file.
        config: Magika's configuration: how many bytes to read, to take and to pad with.

    Returns:
        Array of shape (2048,): values 0 to 255, and 256 where there is no byte.
    """
    with path.open("rb") as file:
        start = file.read(config["block_size"]).lstrip()[: config["beg_size"]]
        file.seek(max(0, path.stat().st_size - config["block_size"]))
        end = file.read().rstrip()[-config["end_size"] :]
    if len(start) < config["min_file_size_for_dl"]:
        return None
    row = np.full(config["beg_size"] + config["end_size"], config["padding_token"], np.int32)
    row[: len(start)] = list(start)
    row[len(row) - len(end) :] = list(end)
    return row


def _package() -> Path:
    spec = find_spec("magika")
    if spec is None or spec.origin is None:
        sys.exit("there is no package magika: pip install '.[magika]'")
    return Path(spec.origin).parent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "results")
    main(parser.parse_args().folder)

"""A model's outputs as one file of the store, for another host to judge."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from paretune.runners.store.artifact_store import ArtifactStore
from paretune.spaces import StoreError


@contextmanager
def stored(outputs: Path, store: ArtifactStore) -> Iterator[str]:
    """Keep a folder of outputs in the store inside this context; yield the file's digest.

    The file has a random comment: two equal outputs are two files, so the end of one judgement
    does not take away what another one reads.

    Args:
        outputs: The folder (see ``stored_outputs``).
        store: The store.
    """
    with store.scratch() as folder:
        file = folder / "outputs.tar"
        comment = {"comment": uuid4().hex}
        with tarfile.open(file, "w", format=tarfile.PAX_FORMAT, pax_headers=comment) as packed:
            for each in sorted(outputs.iterdir()):
                packed.add(each, each.name)
        name = store.put(file, move=True)
    try:
        store.settle()
        yield name
    finally:
        store.remove(name)


@contextmanager
def unpacked(name: str, store: ArtifactStore) -> Iterator[Path]:
    """Yield a folder with the outputs of a file in the store.

    Raises:
        StoreError: If the file is missing or damaged.
    """
    file = store.get(name)
    if file is None:
        raise StoreError(
            f"the outputs {name[:12]}… that a device computed are not in {store.root}: all "
            "machines of a fleet must share the store"
        )
    try:
        with store.scratch() as folder:
            with tarfile.open(file) as packed:
                packed.extractall(folder, filter="data")
            yield folder
    finally:
        store.drop_copy(name)

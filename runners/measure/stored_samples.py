"""The samples that models are run on, by digest: the same wherever the store and the study are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from paretune.runners.runtimes.runner import PipelineFiles, Samples
from paretune.runners.store.artifact import file_digest
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.offered_pipeline import OfferedPipeline
from paretune.runners.workload.onnx_files.layout import Layout
from paretune.spaces import RunSpec, StoreError
from paretune.spaces.axes import Value


@dataclass(frozen=True)
class StoredPipeline:
    """Pre- and post-processing around a model.

    Attributes:
        file: The Python file, as seen from the study's folder if it is in it. It stays where it is,
            because it may read other files beside it.
        sha256: The digest of its bytes; empty if an earlier version did not keep it.
        requests: Digest of the requests to serve.
        axes: The values of its axes with which the samples were made from the requests; they are
            the first that the file offers.
    """

    file: str
    sha256: str
    requests: str
    axes: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, file: Path, folder: Path, requests: str) -> StoredPipeline:
        """Return the pipeline of a file.

        Args:
            file: The file.
            folder: The study's folder.
            requests: Digest of the requests.
        """
        seen = file.relative_to(folder) if file.is_relative_to(folder) else file
        axes = tuple(OfferedPipeline.of(file).baseline.items())
        return cls(str(seen), file_digest(file), requests, axes)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; axes only if there are any.

        So samples of before there were axes keep the keys of their jobs.
        """
        values = asdict(self)
        if not self.axes:
            del values["axes"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StoredPipeline:
        """Undo :meth:`as_dict`; also of earlier versions, which kept paths of the store's files."""
        axes = tuple((str(name), value) for name, value in values.get("axes", ()))
        requests = Path(values["requests"]).name
        return cls(values["file"], values.get("sha256", ""), requests, axes)

    def path(self, folder: Path) -> Path:
        """Return the file; after a move of the study, look for it in the study's folder.

        Raises:
            StoreError: If it does not exist, or has changed.
        """
        kept = Path(self.file)
        tails = [Path(*kept.parts[start:]) for start in range(1, len(kept.parts))]
        places = [folder / kept, *(folder / tail for tail in tails if kept.is_absolute())]
        there = [path for path in places if path.is_file()]
        for path in there:
            if not self.sha256 or file_digest(path) == self.sha256:
                return path
        what = "has changed since" if there else "is missing"
        raise StoreError(
            f"the pipeline {places[0]} {what}: restore the file that was measured, or run "
            "`paretune confirm` with the current one"
        )


@dataclass(frozen=True)
class StoredSamples:
    """The inputs of a split.

    Attributes:
        split: ``validation`` or ``test``.
        inputs: Digests of ``.npy`` files, one for each of the model's inputs, in order.
        pipeline: Pre- and post-processing to time as well, if any.
        targets: Digest of their targets (see ``write_targets``); empty if an earlier version did
            not keep them.
        names: Names of the inputs by which the model takes them; empty if by position.
        layout: How they become the inputs of a call, and which outputs are judged.
    """

    split: str
    inputs: tuple[str, ...]
    pipeline: StoredPipeline | None = None
    targets: str = ""
    names: tuple[str, ...] = ()
    layout: Layout = field(default_factory=Layout)

    def prepared_for(self, run: RunSpec) -> dict[str, list[str]]:
        """Return the digests of what prepares the samples of a run; empty if they are the stored.

        They are the pipeline's and its requests', if the run has other values of its axes.
        """
        around = self.pipeline
        if around is None or not PipelineFiles(Path(), Path(), dict(around.axes)).changes(run):
            return {}
        return {"pipeline": [around.sha256, around.requests]}

    def as_dict(self) -> dict[str, Any]:
        """Return plain nested values, ready for JSON."""
        return {**asdict(self), "pipeline": self.pipeline and self.pipeline.as_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StoredSamples:
        """Return the samples from plain values, as :meth:`as_dict` gives them.

        Earlier versions stored paths of the store's files, whose names are the digests, and of
        samples of the test split only.
        """
        around = values["pipeline"]
        pipeline = around and StoredPipeline.from_dict(around)
        inputs = tuple(Path(each).name for each in values["inputs"])
        return cls(
            values.get("split", "test"),
            inputs,
            pipeline or None,
            values.get("targets", ""),
            tuple(values.get("names", ())),
            Layout.from_dict(values["layout"]) if "layout" in values else Layout(),
        )

    def files(self, store: ArtifactStore, folder: Path) -> Samples:
        """Return where the samples are on this machine.

        Args:
            store: Holds the files.
            folder: The study's folder.

        Raises:
            StoreError: If one of them is missing, damaged or changed.
        """
        inputs = [self._file(store, name) for name in self.inputs]
        if self.pipeline is None:
            return Samples(inputs, layout=self.layout)
        requests = self._file(store, self.pipeline.requests)
        around = PipelineFiles(self.pipeline.path(folder), requests, dict(self.pipeline.axes))
        return Samples(inputs, around, self.layout)

    def _file(self, store: ArtifactStore, name: str) -> Path:
        path = store.get(name)
        if path is None:
            command = "confirm" if self.split == "test" else "search"
            raise StoreError(
                f"the {self.split} split's samples {name[:12]}… are missing or damaged in "
                f"{store.root}: run `paretune {command}`, which stores them again"
            )
        return path

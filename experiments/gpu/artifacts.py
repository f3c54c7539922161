"""The files of the gpu studies' references, in every scheme and format, from the studies' store.

    python artifacts.py STUDY.yaml

builds all of them, so that later steps of check.sh find them: a file that is there costs nothing.
"""

import sys
import time
from functools import cached_property
from pathlib import Path

import numpy as np

from paretune.runners.build.builder import Builder
from paretune.runners.failure import Failure
from paretune.runners.formats import FORMATS
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.runner import Samples
from paretune.runners.telemetry import switch_off_telemetry
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.study.open_study import OpenStudy
from paretune.search.study.parts import study_runner
from paretune.spaces import SCHEMES, BuildSpec, Quantization

FORMAT_OF = {"onnxruntime": "onnx", "pytorch": "pt2"}
WANTED = ("fp32", "fp16", "bf16", "int8-static", "int8-dynamic")


class Artifacts:
    """Builds the reference of a study, or returns what its store has.

    Args:
        study: The study file.
    """

    def __init__(self, study: Path) -> None:
        switch_off_telemetry()
        self.study = OpenStudy(study)
        self.config = self.study.config

    @cached_property
    def loaded(self) -> LoadedWorkload:
        """The workload."""
        return LoadedWorkload(self.config.workload, self.study.paths.folder)

    def runner(self, name: str) -> ProcessRunner:
        """Return a runner of the study by name."""
        return study_runner(self.study, name)

    def schemes(self, model_format: str) -> list[str]:
        """Return the study's schemes that a format can hold."""
        takes = FORMATS.get(model_format).takes
        wanted = [name for name in WANTED if name in self.config.space.quantization]
        return [name for name in wanted if takes(SCHEMES.get(name))]

    def file(self, scheme: str, model_format: str) -> Path | Failure:
        """Return the reference in a scheme and a format."""
        store = self.study.store
        spec = BuildSpec("reference", 0.0, Quantization(scheme))
        built = Builder(self.loaded, store).build(spec, model_format)
        if isinstance(built, Failure):
            return built
        path = store.get(built.artifact)
        assert path is not None, "it was just built"
        return path

    def samples(self, folder: Path) -> Samples:
        """Write the validation split's inputs into a folder, for a runner."""
        path = folder / f"{self.config.name}.npy"
        np.save(path, self.loaded.data.validation.inputs)
        return Samples([path])


def main(study: Path) -> int:
    """Build everything; return 1 if a build failed."""
    artifacts, failed = Artifacts(study), 0
    for scheme in WANTED:
        for model_format in FORMAT_OF.values():
            if scheme not in artifacts.schemes(model_format):
                continue
            started = time.monotonic()
            built = artifacts.file(scheme, model_format)
            is_failed = isinstance(built, Failure)
            failed += is_failed
            what = f"FAILED in {built.stage}: {built.message}" if isinstance(built, Failure) else ""
            seconds = time.monotonic() - started
            print(f"{study.stem} {scheme} {model_format}: {seconds:.1f} s {what}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""Compiles what a gpu study will run in ``compile-cuda``, so that torch's cache on disk has it.

    python compiler_cache.py STUDY.yaml

Every launch of a compiled program is a fresh process. The first one of a program compiles for half
a minute; later ones find the result in TORCHINDUCTOR_CACHE_DIR. Four are compiled at once here,
while nothing is timed.
"""

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from artifacts import FORMAT_OF, Artifacts

from paretune.runners.failure import Failure
from paretune.runners.runtimes.lease import lease
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import RunSpec

PROVIDER = "compile-cuda"
ONCE = MeasurementSettings(warmup_seconds=0.01, min_seconds=0.01, min_iterations=1)


def main(study: Path) -> int:
    """Compile the reference in each 16-bit scheme for each batch size; return 1 if one failed."""
    artifacts = Artifacts(study)
    if f"pytorch/{PROVIDER}" not in artifacts.config.space.execution_provider:
        print(f"no {PROVIDER} here")
        return 0
    runner = artifacts.runner("pytorch")
    wanted = [
        (scheme, size)
        for scheme in artifacts.schemes(FORMAT_OF["pytorch"])
        for size in artifacts.config.space.batch_size
        if scheme != "fp32"
    ]
    with tempfile.TemporaryDirectory() as name, lease("gpu:0") as held:
        samples = artifacts.samples(Path(name))

        def compiled(scheme: str, size: int) -> bool:
            model, started = artifacts.file(scheme, FORMAT_OF["pytorch"]), time.monotonic()
            if isinstance(model, Failure):
                print(f"{scheme}: {model.message}")
                return False
            folder = Path(name) / f"{scheme}-{size}"
            folder.mkdir()
            run = RunSpec("pytorch", PROVIDER, size, 1)
            launch = runner.launch(model, run, samples, folder, ONCE, held)
            said = launch.message if isinstance(launch, Failure) else "compiled"
            seconds = time.monotonic() - started
            print(f"{scheme} batch {size}: {said} ({seconds:.1f} s)", flush=True)
            return not isinstance(launch, Failure)

        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda each: compiled(*each), wanted))
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

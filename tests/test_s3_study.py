"""A study whose store is on S3: what one machine built, another has. The server is a real one."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import QUICK_CONFIRMATION, TINY_SPACE, run_paretune, wait_until, write_study
from s3_server import s3_server

from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.store.remote_files import RemoteFiles
from paretune.runners.store.remote_store import RemoteStore
from paretune.search.study.open_study import OpenStudy, load_history

pytestmark = pytest.mark.slow

APART = ("unshare", "--user", "--map-root-user", "--mount")
"""Runs a command that sees mounts of its own."""
MULTIPART_BYTES = 120_000_000
"""More than what s3fs uploads in one request (100 MB)."""


def machine(folder: Path, own: str, **changes: Any) -> Path:
    """Write the study file of one machine: the storage is shared, all other folders are its own."""
    (folder / own).mkdir()
    return write_study(
        folder / own,
        space=TINY_SPACE,
        storage=f"sqlite:///{folder / 'optuna.db'}",
        confirmation=QUICK_CONFIRMATION,
        **changes,
    )


def stages_run(study: Path) -> list[str]:
    """Return the keys of the stages that ran on a study's machine."""
    log = ArtifactStore(study.parent / "results" / "store").executions()
    return [entry["key"] for entry in log if entry["event"] == "started"]


@contextmanager
def host_apart(address: str, study: Path, cache: Path, *offer: str) -> Iterator[None]:
    """Start a host of a fleet that sees a folder of its own where others see theirs."""
    cache.mkdir()
    mount = f"mount --bind {shlex.quote(str(cache))} {shlex.quote(str(study.parent / 'results'))}"
    worker = [sys.executable, "-m", "paretune", "worker", "--scheduler", address]
    command = f"{mount} && exec {shlex.join([*worker, '--name', cache.name, *offer])}"
    leases = {"PARETUNE_LEASES": str(cache / "leases")}
    with cache.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            [*APART, "sh", "-c", command], stdout=log, stderr=log, env=os.environ | leases
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def test_hosts_of_a_fleet_that_share_no_folder(tmp_path: Path) -> None:
    if subprocess.run([*APART, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make namespaces")
    distributed = pytest.importorskip("distributed", reason="the extra `fleet` is not installed")
    from test_fleet import scheduler

    with s3_server("bucket") as url, scheduler() as address:
        study = write_study(tmp_path, space=TINY_SPACE, store=url, confirmation=QUICK_CONFIRMATION)
        (tmp_path / "results").mkdir()
        builder, board = tmp_path / "builder", tmp_path / "board"
        with (
            host_apart(address, study, builder, "--builds", "1"),
            host_apart(address, study, board, "--device", "board"),
        ):
            with distributed.Client(address, set_as_default=False, timeout=60) as client:
                client.wait_for_workers(2, 60)
            done = run_paretune("search", study, "--scheduler", address, "--trials", "4")
        assert done.returncode == 0, done.stdout + done.stderr
        history = load_history(study)
        assert len(history.measured) == 4 and history.published
        made = ArtifactStore(builder / "store")
        artifacts = {r.measurement.artifact for r in history.measured if r.measurement}
        assert made.executions() and artifacts <= set(made.names())
        # The device ran no stage, and has what it measured; the search has what it published.
        published = {p.measurement.artifact for p in history.published}
        for other, has in ((board, artifacts), (tmp_path / "results", published)):
            store = ArtifactStore(other / "store")
            assert not store.executions() and has <= set(store.names())


def test_a_study_goes_on_on_another_machine_without_building_anything_twice(
    tmp_path: Path,
) -> None:
    with s3_server("bucket") as url:
        first, second, third = (
            machine(tmp_path, each, store=f"{url}/iris") for each in ("a", "b", "c")
        )
        done = run_paretune("search", first, "--trials", "5")
        assert done.returncode == 0, done.stdout + done.stderr
        done = run_paretune("search", second, "--trials", "8")
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(load_history(second).measured) == 8
        run = stages_run(first) + stages_run(second)
        assert stages_run(first) and len(run) == len(set(run)), "a stage ran on both machines"
        # Another machine confirms what the two have built; its cache is empty.
        done = run_paretune("confirm", third)
        assert done.returncode == 0, done.stdout + done.stderr
        history = load_history(third)
        assert history.published and stages_run(third) == []
        artifacts = {r.measurement.artifact for r in history.measured if r.measurement}
        assert artifacts <= set(OpenStudy(third).store.names())
        pins = RemoteFiles(f"{url}/iris").names("pins")
        assert len(pins) == 1 and pins[0].startswith("iris.")
        done = run_paretune("doctor", third)
        assert "artifacts and files" in done.stdout and "damaged" not in done.stdout, done.stdout
    assert not [word for word in yaml.safe_load(first.read_text("utf-8")) if "key" in word.lower()]


def test_the_same_study_started_anew_builds_nothing(tmp_path: Path) -> None:
    with s3_server("bucket") as url:
        first = machine(tmp_path, "a", store=url)
        assert run_paretune("search", first, "--trials", "3").returncode == 0
        second = machine(tmp_path, "b", store=url, name="another")
        assert run_paretune("search", second, "--trials", "3").returncode == 0
    run = stages_run(first) + stages_run(second)
    assert stages_run(first) and len(run) == len(set(run))


def test_a_search_whose_server_is_gone_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paretune.runners.store.remote_files.PAUSES_S", (0.1,))
    with s3_server("bucket") as url:
        study = machine(tmp_path, "a", store=url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anybody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
    done = run_paretune("search", study, "--trials", "2")
    assert done.returncode == 1 and f"the store {url} does not work" in done.stderr
    assert "run the same command again" in done.stderr and "Traceback" not in done.stderr


def test_an_upload_that_is_killed_leaves_nothing_and_is_made_up_for(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(MULTIPART_BYTES))
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from paretune.runners.store.remote_store import RemoteStore\n"
        "RemoteStore(Path(sys.argv[1]), sys.argv[2]).put(Path(sys.argv[3]))"
    )
    with s3_server("bucket") as url:
        import s3fs

        server = s3fs.S3FileSystem()

        def has_begun() -> bool:
            found = server.call_s3("list_multipart_uploads", Bucket="bucket")
            return bool(found.get("Uploads"))

        command = [sys.executable, "-c", code, str(tmp_path / "a"), url, str(big)]
        process = subprocess.Popen(command)
        wait_until(has_begun)
        process.kill()
        process.wait(30)
        [name] = ArtifactStore(tmp_path / "a").names()
        other = RemoteStore(tmp_path / "b", url)
        assert not other.has(name) and other.get(name) is None
        assert RemoteStore(tmp_path / "a", url).get(name) is not None  # which uploads it
        path = other.get(name)
        assert path is not None and path.stat().st_size == MULTIPART_BYTES

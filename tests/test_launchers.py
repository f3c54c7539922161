"""The files that start a fleet: each keeps to its tool's schema, and is tried where it can be."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import click
import psutil
import pytest
import yaml
from conftest import TESTS
from test_fleet import connected, scheduler

from paretune.runners.fleet.fleet import hosts
from paretune.search.cli.main import main

pytest.importorskip("distributed", reason="the extra `fleet` is not installed")

FOLDER = TESTS.parent / "experiments" / "fleet"
PARETUNE = f"{sys.executable} -m paretune"


def parsed(command: list[str]) -> dict[str, Any]:
    """Return what Paretune's command line makes of a command; it raises if the command is wrong."""
    assert command[0] == "paretune"
    words, at = command[1:], main
    while isinstance(at, click.Group):
        name, at, words = at.resolve_command(click.Context(at), words)
        assert name is not None and at is not None
    return at.make_context(str(at.name), words).params


def test_compose_follows_its_specification() -> None:
    file = FOLDER / "compose.yaml"
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    subprocess.run([*check, file], check=True)
    services = yaml.safe_load(file.read_text("utf-8"))["services"]
    assert parsed(services["scheduler"]["command"])["plain"]
    assert parsed(services["build"]["command"])["builds"] == 1
    assert parsed(services["device"]["command"])["device"] == "this-machine"


def test_kubernetes_manifests_follow_its_schemas() -> None:
    import kubernetes_validate

    manifests = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text("utf-8")))
    for manifest in manifests:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    pods = [each["spec"]["template"]["spec"] for each in manifests if each["kind"] != "Service"]
    commands = [parsed(pod["containers"][0]["command"]) for pod in pods]
    assert not commands[0]["plain"] and commands[1]["builds"] and commands[2]["device"]
    for pod in pods:
        there = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == there


@pytest.mark.slow
def test_the_job_of_a_cluster_starts_a_host(tmp_path: Path) -> None:
    script = tmp_path / "paretune"
    script.write_text(f'#!/bin/sh\nexec {PARETUNE} "$@"\n', "utf-8")
    script.chmod(0o755)
    task = os.environ | {"SLURM_ARRAY_TASK_ID": "3", "PARETUNE": str(script)}
    with scheduler() as address:
        job = subprocess.Popen(["bash", FOLDER / "slurm.sbatch", address], env=task)
        try:
            with connected(address) as client:
                client.wait_for_workers(1, 60)
            [host] = hosts(address)
        finally:
            job.terminate()
            job.wait(30)
    assert host.name.endswith("-3") and host.offers == {"build": 2}


@pytest.mark.slow
def test_hosts_are_started_by_ssh_and_outlive_the_connection(tmp_path: Path) -> None:
    if which("ssh") is None:
        pytest.skip("there is no ssh on this machine")
    with scheduler() as address, ssh_server(tmp_path) as ssh:
        offers = ["one:--builds=1", "two:--device=board"]
        command = ["bash", FOLDER / "ssh.sh", address, *offers]
        environment = os.environ | {"SSH": ssh, "PARETUNE": PARETUNE}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "started a host on two: --device=board" in done.stdout
        try:
            with connected(address) as client:
                client.wait_for_workers(2, 60)
            found = {host.name: host.offers for host in hosts(address)}
        finally:
            for process in psutil.process_iter():
                if address in cmdline(process):
                    process.kill()
    assert found == {"one": {"build": 1}, "two": {"device:board": 1}}


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextmanager
def ssh_server(folder: Path) -> Iterator[str]:
    """Run an SSH server that carries commands out, at every name; return a command to reach it."""
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(folder / "key")
    (folder / "key").chmod(0o600)
    own = asyncssh.generate_private_key("ssh-ed25519")
    authorized = asyncssh.import_authorized_keys(key.export_public_key().decode())
    ports: list[int] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def carry_out(process: asyncssh.SSHServerProcess[str]) -> None:
        home = os.environ | {"HOME": str(folder)}
        shell = await asyncio.create_subprocess_shell(process.command or "true", env=home)
        process.exit(await shell.wait())

    async def serve() -> None:
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[own],
            authorized_client_keys=authorized,
            process_factory=carry_out,
        )
        ports.append(server.get_port())
        ready.set()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(serve(), loop)
    assert ready.wait(30)
    options = {
        "Port": ports[0],
        "HostName": "127.0.0.1",
        "IdentityFile": folder / "key",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "LogLevel": "ERROR",
    }
    try:
        yield " ".join(["ssh", *(f"-o {name}={value}" for name, value in options.items())])
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)

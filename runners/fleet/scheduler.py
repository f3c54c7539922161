"""The scheduler of a fleet, as a process: `paretune fleet start`."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from contextlib import suppress

from paretune.runners.fleet.keys import ENCRYPTED, security
from paretune.spaces import StudyError


def serve(host: str, port: int, *, plain: bool, ready: Callable[[str, str], None]) -> None:
    """Serve until the process is stopped.

    Args:
        host: The address to listen on. Off loopback, connections are encrypted.
        port: The port to listen on.
        plain: Encrypt nothing.
        ready: Is told the scheduler's address and that of its dashboard, which is on loopback.

    Raises:
        StudyError: If this machine has no keys, or the address cannot be had.
    """
    import distributed

    logging.getLogger("distributed").setLevel(logging.WARNING)
    protocol = "tcp://" if plain or is_loopback(host) else ENCRYPTED
    keys = security(protocol)

    async def serve_on() -> None:
        scheduler = distributed.Scheduler(
            host=host,
            port=port,
            protocol=protocol,
            security=keys,
            # Pages that tell everything to everybody: on loopback only.
            dashboard_address="127.0.0.1:8787",
        )
        try:
            await scheduler
        except (OSError, RuntimeError) as error:  # Dask's, around the cause
            raise StudyError(
                f"cannot listen on {host}:{port} ({error.__cause__ or error}): choose an address "
                "of this machine and a free port, --host and --port"
            ) from error
        async with scheduler:
            ready(scheduler.address, f"http://127.0.0.1:{scheduler.http_server.port}/status")
            await scheduler.finished()

    with suppress(KeyboardInterrupt):
        asyncio.run(serve_on())


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

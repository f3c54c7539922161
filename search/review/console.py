"""The console of the command line, and small tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from paretune.runners.fleet.fleet import HostState
from paretune.runners.runtimes.devices import Device
from paretune.search.record.history import History
from paretune.search.record.words import counted

WIDE = 180
"""Minimum width of the terminal for tables with intervals."""

_MOST_NUMBERS = 10
"""Numbers of failed trials that are named per cause: `paretune trial` shows one. Chosen by
judgement.
"""

# In a notebook rich would make a block of each line; as plain text they stay together.
console = Console(highlight=False, force_jupyter=False)
if not console.is_terminal:
    # A file or a pipe has no width of its own: leave the tables whole.
    console = Console(highlight=False, force_jupyter=False, width=WIDE)


def failure_table(history: History) -> Table:
    """Return failures by cause as a table."""
    table = Table(title=f"{counted(len(history.failed), 'trial')} failed", box=SIMPLE_HEAD)
    table.add_column("count", justify="right")
    table.add_column("trials", overflow="fold")
    table.add_column("cause, as the first of them has it", overflow="fold")
    for cause, numbers in history.failures_by_cause:
        shown = ", ".join(map(str, numbers[:_MOST_NUMBERS]))
        shown += ", …" * (len(numbers) > _MOST_NUMBERS)
        table.add_row(str(len(numbers)), shown, escape(cause))
    return table


def device_table(devices: Sequence[Device]) -> Table:
    """Return the execution providers, with whether they run here, as a table."""
    table = Table()
    for name in ("runs", "runner", "execution provider", "why"):
        table.add_column(name, overflow="fold")
    for device in devices:
        mark = "[green]yes[/]" if device.works else "[red]no[/]"
        table.add_row(mark, device.runner, device.execution_provider, escape(device.detail))
    return table


def fleet_table(hosts: Sequence[HostState]) -> Table:
    """Return the hosts of a fleet, with what they offer and do, as a table."""
    table = Table()
    for name in ("host", "offers", "does now", "processor", "cores", "now at"):
        table.add_column(name, overflow="fold")
    for host in hosts:
        offers = ", ".join(
            slot if count == 1 else f"{slot} × {count}" for slot, count in host.offers.items()
        )
        machine = host.machine
        table.add_row(
            escape(host.name),
            escape(offers),
            ", ".join(host.jobs) or "nothing",
            escape(machine["processor"]),
            machine["cores"],
            ", ".join(f"{value:.0f} {unit}" for unit, value in host.condition.items()) or "?",
        )
    return table

"""Commands of a fleet: hosts that build and measure for a study on another machine."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import click


def fleet_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which fleet does the work."""
    scheduler = click.option(
        "--scheduler",
        metavar="ADDRESS",
        is_eager=True,  # before --device, which needs it
        help="Build and measure on the hosts of a fleet (`paretune worker`), tcp://HOST:8786.",
    )
    device = click.option(
        "--device",
        callback=_needs_scheduler,
        help="With --scheduler: the device to measure on, if there are several.",
    )
    return scheduler(device(command))


def _needs_scheduler(context: click.Context, option: click.Parameter, name: str | None) -> Any:
    if name and not context.params.get("scheduler"):
        raise click.UsageError("--device needs --scheduler: without a fleet, this machine measures")
    return name


@click.command()
@click.option(
    "--scheduler", required=True, metavar="ADDRESS", help="The scheduler, tcp://HOST:8786."
)
@click.option(
    "--builds",
    type=click.IntRange(min=0),
    default=0,
    help="Builds at once; 0 for a machine that only measures.",
)
@click.option("--device", help="Offer this machine to measure on, under this name.")
@click.option("--name", default=platform.node, help="The host's name; the machine's by default.")
def worker(scheduler: str, builds: int, device: str | None, name: str) -> None:
    """Let this machine build and measure for studies of a fleet.

    \b
    Anywhere:                dask scheduler
    On build servers:        paretune worker --scheduler tcp://HOST:8786 --builds 4
    On the device:           paretune worker --scheduler tcp://HOST:8786 --device jetson
    To search:               paretune search study.yaml --scheduler tcp://HOST:8786

    All machines need the same versions, and the folders of the study and of its store at the same
    place, on a file system that they share. One that only measures needs few packages and no
    workload: a machine with --builds judges its outputs (docs/fleet.md). Anybody who reaches the
    scheduler's port can run code on every machine of the fleet: keep it inside a network that you
    trust.
    """
    from paretune.search.study.fleet_worker import work

    if not builds and not device:
        raise click.UsageError("give --builds N, --device NAME, or both")
    work(scheduler, name, builds, device)


@click.command()
@click.option("--scheduler", required=True, metavar="ADDRESS", help="tcp://HOST:8786.")
def fleet(scheduler: str) -> None:
    """Show the hosts of a fleet: what each offers, and what it does now."""
    from paretune.runners.execute.fleet import hosts
    from paretune.search.review.console import console, fleet_table

    found = hosts(scheduler)
    console.print(fleet_table(found))
    if not found:
        console.print(
            f"no hosts yet; start one: paretune worker --scheduler {scheduler} --builds 1",
            soft_wrap=True,
        )

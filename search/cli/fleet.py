"""Commands of a fleet: hosts that build and measure for a study on another machine."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import click

_ADDRESS = "The scheduler, tls://HOST:8786 or, without encryption, tcp://HOST:8786."


def fleet_options(device: str, *, several: bool = False) -> Callable[..., Any]:
    """Return what adds the options that say which fleet does the work.

    Args:
        device: What the device is for, as help.
        several: Whether there may be several devices.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        scheduler = click.option(
            "--scheduler",
            metavar="ADDRESS",
            is_eager=True,  # before --device, which needs it
            help="Build and measure on the hosts of a fleet (`paretune worker`), tls://HOST:8786.",
        )
        named = click.option(
            "--device",
            "devices" if several else "device",
            multiple=several,
            callback=_needs_scheduler,
            help=f"With --scheduler: {device}",
        )
        return scheduler(named(command))

    return add


def _needs_scheduler(context: click.Context, option: click.Parameter, name: Any) -> Any:
    if name and not context.params.get("scheduler"):
        raise click.UsageError("--device needs --scheduler: without a fleet, this machine measures")
    return name


@click.command()
@click.option("--scheduler", required=True, metavar="ADDRESS", help=_ADDRESS)
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
    Once:               paretune fleet certify, and copy the keys to every machine
    Anywhere:           paretune fleet start --host HOST
    On build servers:   paretune worker --scheduler tls://HOST:8786 --builds 4
    On the device:      paretune worker --scheduler tls://HOST:8786 --device jetson
    To search:          paretune search study.yaml --scheduler tls://HOST:8786

    All machines need the same versions, and the folders of the study and of its store at the same
    place, on a file system that they share. One that only measures needs few packages and no
    workload: a machine with --builds judges its outputs (docs/fleet.md). Whoever has the keys can
    run code on every machine of the fleet; so can anybody who reaches a scheduler without
    encryption.
    """
    from paretune.search.study.fleet.worker import work

    if not builds and not device:
        raise click.UsageError("give --builds N, --device NAME, or both")
    offers = [f"{builds} builds at once"] * bool(builds) + [f"the device {device}"] * bool(device)

    def ready(address: str) -> None:
        click.echo(f"{name} at {address} offers {' and '.join(offers)} to {scheduler}")

    work(scheduler, name, builds, device, ready)


@click.group(invoke_without_command=True)
@click.option("--scheduler", metavar="ADDRESS", help=_ADDRESS)
@click.pass_context
def fleet(context: click.Context, scheduler: str | None) -> None:
    """Show the hosts of a fleet: what each offers, and what it does now.

    To set up a fleet: `paretune fleet certify`, then `paretune fleet start`, then `paretune worker`
    on every host.
    """
    from paretune.runners.fleet.fleet import hosts
    from paretune.runners.fleet.installed import check_installed
    from paretune.search.review.console import console, fleet_table

    check_installed()
    if context.invoked_subcommand is not None:
        return
    if scheduler is None:
        raise click.UsageError("give --scheduler ADDRESS, or one of the commands below it (--help)")
    found = hosts(scheduler)
    console.print(fleet_table(found))
    if not found:
        console.print(
            f"no hosts yet; start one: paretune worker --scheduler {scheduler} --builds 1",
            soft_wrap=True,
        )


@fleet.command()
def certify() -> None:
    """Make the keys of a fleet: all of its machines need a copy of them.

    They are a certificate and its key, which hold for a year, in ~/.config/paretune/fleet or in
    the folder that the variable PARETUNE_FLEET_KEYS names. Whoever has them can run code on every
    machine of the fleet.
    """
    from paretune.runners.fleet import keys

    folder = keys.keys_folder()
    keys.certify(folder)
    click.echo(f"wrote {folder}: copy this folder to the same place on every machine of the fleet")


@fleet.command()
@click.option(
    "--host", default="127.0.0.1", help="The address to listen on; only this machine by default."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8786, help="The port to listen on.")
@click.option(
    "--plain",
    is_flag=True,
    help="Without encryption: anybody who reaches the port can run code on every host.",
)
def start(host: str, port: int, plain: bool) -> None:
    """Start the scheduler of a fleet; it serves until you stop it.

    Off this machine, connections are encrypted with the keys of `paretune fleet certify`.
    """
    from paretune.runners.fleet.scheduler import serve

    def ready(address: str, dashboard: str) -> None:
        click.echo(f"the scheduler is at {address}, its dashboard at {dashboard}")
        click.echo(f"on each host: paretune worker --scheduler {address} --builds 1")

    serve(host, port, plain=plain, ready=ready)

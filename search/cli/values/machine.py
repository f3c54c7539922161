"""What ``paretune devices --json`` and ``paretune doctor --json`` print."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from paretune.runners.runtimes.devices import Device
from paretune.search.cli.values.base import Values
from paretune.search.study.doctor import Check


class ProviderValues(Values):
    """One execution provider."""

    runner: str = Field(description="The runner that it belongs to.")
    execution_provider: str = Field(description="Its name, with the card if there are several.")
    works: bool = Field(description="Whether a model really ran on it just now.")
    detail: str = Field(description="What ran on it, or why nothing did and what would help.")


class DevicesValues(Values):
    """This machine and its execution providers."""

    machine: str = Field(description="Processor, cores, memory and cards, in words.")
    providers: list[ProviderValues] = Field(description="Those that work first.")


class CheckValues(Values):
    """One check of a study's files and records."""

    name: str = Field(description="Its subject.")
    seen: str = Field(description="What was checked, in words.")
    problems: list[str] = Field(description="The problems; empty if there are none.")
    fix: str = Field(description="What to do about them.")


def devices_values(machine: str, devices: Sequence[Device]) -> DevicesValues:
    """Return execution providers as they are printed."""
    return DevicesValues(
        machine=machine,
        providers=[ProviderValues.model_validate(vars(each)) for each in devices],
    )


def doctor_values(checks: Sequence[Check]) -> list[CheckValues]:
    """Return checks as they are printed."""
    return [
        CheckValues(name=each.name, seen=each.seen, problems=list(each.problems), fix=each.fix)
        for each in checks
    ]

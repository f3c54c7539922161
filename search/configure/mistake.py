"""A mistake in a study file: where it is, and how to fix it."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from paretune.search.configure.yaml_source import Location


@dataclass(frozen=True)
class Mistake:
    """One mistake in a study file.

    Attributes:
        location: Where: keys and list positions from the top.
        problem: The rule that is broken and the value received.
        fix: What to write instead.
    """

    location: Location
    problem: str
    fix: str = ""


def offer(got: str, known: Iterable[str], introduction: str) -> str:
    """Return the possible names, with the nearest one first if it looks like a typo."""
    known = list(known)
    close = difflib.get_close_matches(got, known, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}{introduction} {', '.join(known)}"

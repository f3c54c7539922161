"""Docstrings as the site shows them: an extension of griffe, which ``mkdocs.yml`` names."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`(?:~[\w.]*\.)?([\w.]+)`")
"""A role of Sphinx, such as ``:class:``, with the name that it is about."""
FLAG = re.compile(r"\n[ ]*\.\.\. # doctest:.*|[ ]*# doctest:.*")
"""What only doctest reads, behind an example or below it."""
EXAMPLE = re.compile(r"(?:^[ ]*(?:>>>|\.\.\.)(?: .*)?\n?(?:^[ ]*[^\s>.:].*\n?)*)+", re.M)
"""Lines of a session in the interpreter, with what it printed."""
PROMPT = re.compile(r"^(?:>>>|\.\.\.) ?", re.M)
PAGE = re.compile(r"docs/([\w-]+\.md)")
"""A page of the documentation."""


def readable(text: str) -> str:
    """Return a docstring in Markdown, with its examples in blocks."""

    def block(found: re.Match[str]) -> str:
        return f"```python\n{PROMPT.sub('', found.group().rstrip())}\n```\n"

    linked = PAGE.sub(r"[\1](\1)", ROLE.sub(r"`\1`", text))
    return EXAMPLE.sub(block, FLAG.sub("", linked))


class Readable(griffe.Extension):
    """Rewrites every docstring that is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = readable(obj.docstring.value)

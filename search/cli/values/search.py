"""What the MCP server's tool ``search`` returns: the search that was started."""

from __future__ import annotations

from pydantic import Field

from paretune.search.cli.values.base import Values


class SearchValues(Values):
    """A search that was started in the background."""

    study: str = Field(description="The study file: give it to `status`, `frontier` and `pick`.")
    process: int = Field(description="The process that searches; it outlives the server.")
    log: str = Field(description="The file that has what it prints.")

"""The command that serves the Model Context Protocol: ``mcp``."""

from __future__ import annotations

from importlib.util import find_spec

import click

from paretune.spaces.errors import StudyError


@click.command()
def mcp() -> None:
    """Serve Paretune's commands as tools of the Model Context Protocol, for agents and programs.

    A client starts this command and talks to it over standard input and output. The tools are
    measure, compare, search, status, frontier, pick and verify; docs/mcp.md has a session. A search
    that a tool started goes on when the server ends. Paths are those of this machine, relative to
    the folder that the server was started in.

    \b
    To register it: {"command": "paretune", "args": ["mcp"]}
    """
    if find_spec("mcp") is None:
        raise StudyError("an MCP server needs the extra `mcp`: pip install 'paretune[mcp]'")
    from paretune.search.cli.mcp_server.server import make_server

    make_server().run("stdio")

"""The MCP server itself: the tools, registered with the official SDK."""

from __future__ import annotations

from importlib.metadata import version

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

from paretune.runners.telemetry import switch_off_telemetry
from paretune.search.cli.mcp_server.tools import READING, TOOLS, description, told

_INSTRUCTIONS = """\
Paretune finds the best fast versions of a trained model, measured on this machine. To make an ONNX
file faster: `measure` it; `search` with samples (and labels); ask `status` until it has ended; read
the `frontier`; `pick` a point under your limits into a folder; `verify` that folder. Measure one
thing at a time: tools wait until nothing else is measured. Every figure has its unit at the end of
its name, and every interval is a 95 % interval. To tell two files apart, use `compare` rather than
two calls of `measure`."""


def make_server() -> MCPServer:
    """Return the server with all tools.

    The SDK turns standard output over to standard error while it serves, so nothing that a library
    prints can break the protocol.
    """
    switch_off_telemetry()
    server = MCPServer(
        "paretune",
        instructions=_INSTRUCTIONS,
        version=version("paretune"),
        log_level="ERROR",
    )
    for tool in TOOLS:
        annotations = ToolAnnotations(
            read_only_hint=tool in READING, destructive_hint=False, open_world_hint=False
        )
        server.add_tool(
            told(tool), tool.__name__, description=description(tool), annotations=annotations
        )
    return server

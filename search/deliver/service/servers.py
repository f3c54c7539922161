"""The Python servers as a container runs them."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.spaces import StudyError


@dataclass(frozen=True)
class Server:
    """How a server is started and asked.

    Attributes:
        command: What starts it, in the folder of its export.
        port: The port that it listens on.
        health: The path that answers with HTTP 200 when it is ready.
        protocol: What it speaks, as ``paretune verify --protocol`` names it.
        predict: The path of requests for answers, as a regular expression.
    """

    command: tuple[str, ...]
    port: int
    health: str
    protocol: str = "json"
    predict: str = "^/predict$"


SERVERS = {
    "litserve": Server(("python", "server.py", "8000"), 8000, "/health"),
    "bentoml": Server(
        ("bentoml", "serve", "server:Service", "--host", "0.0.0.0", "--port", "8000"),
        8000,
        "/readyz",
    ),
    "rayserve": Server(("python", "server.py", "8000", "0.0.0.0"), 8000, "/health"),
    "mlserver": Server(
        ("mlserver", "start", "."), 8080, "/v2/health/ready", "v2", "^/v2/models/.*/infer$"
    ),
}
"""The servers by the names of their targets."""

DEFAULT_SERVER = "litserve"
"""The server of containers for which none is named."""


def known_server(name: str | None) -> Server:
    """Return a server by its name, or the default one.

    Raises:
        StudyError: If there is none of that name.
    """
    if (name or DEFAULT_SERVER) not in SERVERS:
        raise StudyError(f"the server must be one of {', '.join(SERVERS)}; got {name!r}")
    return SERVERS[name or DEFAULT_SERVER]

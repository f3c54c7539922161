"""The report of a running study, served to this machine's browsers, which reload it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

HOST = "127.0.0.1"
"""Only this machine sees the page: it has no login."""


@dataclass(frozen=True)
class LiveReport:
    """What is served.

    Attributes:
        revision: Returns a text that is another one whenever the page would be.
        html: Returns the page.
    """

    revision: Callable[[], str]
    html: Callable[[], str]


def live_server(report: LiveReport, port: int) -> ThreadingHTTPServer:
    """Return a server of ``/``, the page, and ``/revision``, which the page asks every ten seconds.

    It only reads. ``serve_forever`` runs it.

    Args:
        report: What is served.
        port: The port on this machine.

    Raises:
        OSError: If the port is taken.
    """
    pages = {"/": (report.html, "text/html"), "/revision": (report.revision, "text/plain")}
    one_at_a_time = Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path not in pages:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            make, kind = pages[path]
            with one_at_a_time:
                body = make().encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Print nothing: a line every ten seconds would bury the address."""

    return ThreadingHTTPServer((HOST, port), Handler)

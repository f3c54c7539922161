"""The keys of a fleet: a certificate and its key that all machines share, for TLS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from paretune.spaces import StudyError

if TYPE_CHECKING:
    from distributed import Security

KEYS = "PARETUNE_FLEET_KEYS"
"""The environment variable that names the folder of the keys."""

ENCRYPTED = "tls://"
"""How the address of an encrypted scheduler begins."""


def keys_folder() -> Path:
    """Return the folder of this user's keys."""
    return Path(os.environ.get(KEYS) or Path.home() / ".config" / "paretune" / "fleet")


def certify(folder: Path) -> None:
    """Make the keys of a new fleet; Dask's own maker of keys lets them hold for a year.

    Args:
        folder: Where to write them; made if it is missing.

    Raises:
        StudyError: If there are keys already, or a package is missing.
    """
    from distributed import Security

    certificate, key = _files(folder)
    if certificate.exists() or key.exists():
        raise StudyError(
            f"there are keys in {folder} already: copy that folder to the other machines, or "
            "delete it to make new keys for all of them"
        )
    try:
        made = Security.temporary()
    except ImportError as error:
        raise StudyError(f"{error}: pip install cryptography") from error
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    certificate.write_text(str(made.tls_ca_file), "utf-8")
    key.touch(mode=0o600)  # nobody else may read it, not even for a moment
    key.write_text(str(made.tls_worker_key), "utf-8")


def security(address: str) -> Security | None:
    """Return what a connection to a scheduler needs; nothing if its address is not encrypted.

    Certificates that Dask's own configuration names come first.

    Raises:
        StudyError: If this machine has no keys.
    """
    import dask
    from distributed import Security

    if not address.startswith(ENCRYPTED):
        return None
    if dask.config.get("distributed.comm.tls.ca-file", None):
        return Security(require_encryption=True)
    certificate, key = map(str, _files(folder := keys_folder()))
    if not (Path(certificate).is_file() and Path(key).is_file()):
        raise StudyError(
            f"this machine has no keys in {folder}: run `paretune fleet certify` on one machine, "
            f"and copy that folder to all others (another place: the variable {KEYS})"
        )
    return Security(
        require_encryption=True,
        tls_ca_file=certificate,
        tls_client_cert=certificate,
        tls_client_key=key,
        tls_scheduler_cert=certificate,
        tls_scheduler_key=key,
        tls_worker_cert=certificate,
        tls_worker_key=key,
    )


def _files(folder: Path) -> tuple[Path, Path]:
    return folder / "certificate.pem", folder / "key.pem"

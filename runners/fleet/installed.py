"""Whether the packages of a fleet are installed."""

from importlib.util import find_spec

from paretune.spaces import StudyError


def check_installed() -> None:
    """Do nothing if the packages of a fleet are installed.

    Raises:
        StudyError: If they are not.
    """
    if find_spec("distributed") is None:
        raise StudyError("a fleet needs the extra `fleet`: pip install 'paretune[fleet]'")

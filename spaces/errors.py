"""The one tree of errors that Paretune raises for a person to read.

    ParetuneError
    ├── SpaceError      an invalid candidate, axis or rule
    ├── ConfigError     a study file with mistakes (search)
    ├── WorkloadError   the user's workload cannot be loaded or breaks its protocol (runners)
    ├── RecordError     JSON of a job or an outcome that this release does not know (runners)
    ├── StoreError      the artifact store cannot be read or written (runners)
    ├── StudyError      a study cannot be opened, continued or finished (search)
    ├── DeviceBusyError another process held a device until the time was over (runners)
    └── ServiceError    a served model cannot be asked (search)

A candidate that cannot be built or measured is *not* an error: it is a ``Failure``, a value. Each
message states the rule, the value received and the next step.
"""


class ParetuneError(Exception):
    """Base of all errors that Paretune raises on purpose; shown without a traceback."""


class SpaceError(ParetuneError, ValueError):
    """An invalid candidate, axis or rule."""


class ConfigError(ParetuneError):
    """A study file with mistakes; the message lists all of them."""


class WorkloadError(ParetuneError):
    """The workload cannot be loaded or breaks its protocol."""


class RecordError(ParetuneError, ValueError):
    """A record in JSON of a kind, a version or fields that this release does not know."""


class StoreError(ParetuneError):
    """The artifact store cannot be read or written."""


class StudyError(ParetuneError):
    """A study cannot be opened, continued or finished."""


class DeviceBusyError(ParetuneError):
    """Another process uses a device, and there is no time left to wait for it."""


class ServiceError(ParetuneError):
    """A served model cannot be reached, or refuses to answer."""

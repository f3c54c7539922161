"""Model formats: the kinds of files that runtimes take, one record each.

May import `paretune.spaces`. What a record names in other rooms is imported when it is used.
"""

from paretune.runners.formats.record import FORMATS, FormatRecord, format_for

__all__ = ["FORMATS", "FormatRecord", "format_for"]

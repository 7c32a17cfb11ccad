"""What can go wrong for the person at the keyboard, as one tree.

    MinivisorError           one line on stderr, exit status 2, no traceback
    ├── OptionError          an option or a setting that nobody can carry out
    ├── GuestImageError      a kernel file that is not one: truncated, another machine, a segment outside RAM
    ├── DeviceTreeError      a device tree that lies about its own sizes, or a node that cannot be written
    ├── BoardError           an unknown board, or one whose parts cannot carry the virtual platform
    ├── TraceError           a trace file that is corrupt, of another version, or not a trace
    ├── StageError           a replaceable part (minivisor/stages.py) that broke its contract
    ├── EngineError          the CPU engine of this host is not laid out as calibration expects
    └── MissingPartError     something optional that is not installed

Guests are not in this tree. What a guest does wrong is data: an exit that EL2 handles, an exception injected into it,
or a persona stopped with a report. These exceptions are for files, options, parts and hosts only.

A message is one line and names, in this order: the component, the value it was given, what it expected, and where to
read more. `fault` puts them together, so that no message forgets one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "BoardError",
    "DeviceTreeError",
    "EngineError",
    "GuestImageError",
    "MinivisorError",
    "MissingPartError",
    "OptionError",
    "StageError",
    "TraceError",
    "fault",
    "writing",
]


class MinivisorError(Exception):
    """Base of all errors that a user can cause and correct. Its text is one line."""

    exit_status = 2

    def __str__(self) -> str:
        return " ".join(super().__str__().split())


class OptionError(MinivisorError):
    """A command-line option or a constructor argument with a value that cannot be carried out."""


class GuestImageError(MinivisorError):
    """A guest file that cannot be loaded: ELF, flat image or initrd."""


class DeviceTreeError(MinivisorError):
    """A flattened device tree that cannot be read or written (Devicetree Specification, chapter 5)."""


class BoardError(MinivisorError):
    """A board that is unknown or cannot carry the virtual platform."""


class TraceError(MinivisorError):
    """A trace file that cannot be read."""


class StageError(MinivisorError):
    """A replaceable part that could not be loaded, or answered something its contract does not allow."""


class EngineError(MinivisorError):
    """The CPU engine on this host is not what calibration at start expects."""


class MissingPartError(MinivisorError):
    """An optional package, a built guest or a checkout that a command needs and that is absent."""


def fault(component: str, given: object, expected: str, see: str = "") -> str:
    """The text of an error by the convention above.

    component: what refused, as the user knows it ("guest image", "--memory"). given: the value it was given.
    expected: what would have been right. see: a file, a command or a specification to read more in.
    """
    text = f"{component}: got {given if isinstance(given, str) else repr(given)}, expected {expected}"
    return f"{text} (see {see})" if see else text


@contextmanager
def writing(component: str, file: object) -> Iterator[None]:
    """While a file is written that the user named: what the host refuses becomes an OptionError. component: as in `fault`."""
    try:
        yield
    except OSError as problem:
        raise OptionError(fault(component, f"{file} ({problem.strerror})", "a file that can be written")) from None

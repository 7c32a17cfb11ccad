"""The kinds of records in a trace, and the words each of them chooses from. The numbers are in files: they never change."""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "LOGGED",
    "PHYSICAL",
    "DeviceEvent",
    "ExitCause",
    "InputEvent",
    "IrqEvent",
    "Kind",
    "Outcome",
    "PolicyEvent",
    "Stage2Event",
    "StopReason",
    "SwitchReason",
    "SwitchSide",
    "TimerEvent",
    "TlbiEvent",
    "WalkAccess",
]


class Kind(IntEnum):
    EXIT = 1
    SWITCH = 2
    IRQ = 3
    TIMER = 4
    PSCI = 5
    SCHED = 6
    INPUT = 7
    FRAME = 8
    FOREGROUND = 9
    START = 10
    STOP = 11
    STAGE2 = 12
    TLBI = 13
    DEVICE = 14
    WALK = 15
    STEP = 16
    POLICY = 17
    DATA = 18
    REGISTERS = 19


PHYSICAL = (Kind.STAGE2, Kind.WALK, Kind.STEP, Kind.POLICY, Kind.REGISTERS)
"""Kinds that name physical addresses, or what EL2 thought: these differ from board to board, and no guest can see them."""


LOGGED = (Kind.INPUT, Kind.DATA, Kind.FOREGROUND)
"""Kinds that are the input log: with the images and the seed they are the run, so they are kept when the ring is full."""


class Outcome(IntEnum):
    """What EL2 did about an exit: the kinds of `stages.Outcome`, and NONE where there was nothing to do."""

    NONE = 0
    RESUME = 1
    WAIT = 2
    UNDEFINED = 3
    ABORT = 4
    OFF = 5
    ON = 6
    SHUTDOWN = 7
    RESET = 8
    STOP = 9
    SERROR = 10


class ExitCause(IntEnum):
    """Which vector of EL2 the exit took. Only a synchronous exception has a syndrome."""

    SYNC = 0
    IRQ = 1
    FIQ = 2
    SERROR = 3


class SwitchReason(IntEnum):
    """Why the core changed hands."""

    START = 0
    SLICE = 1
    WAIT = 2
    WAKE = 3
    FOREGROUND = 4
    OFF = 5
    STOP = 6


class IrqEvent(IntEnum):
    """The life of a virtual interrupt: put in a list register (or spilled for want of one), taken, ended.

    RAISED is recorded where it ends a WFI: from then on its vCPU wants the core.
    """

    RAISED = 0
    LISTED = 1
    ACKNOWLEDGED = 2
    COMPLETED = 3
    SPILLED = 4
    LOWERED = 5


class SwitchSide(IntEnum):
    """Which way registers went at a world switch."""

    SAVED = 0
    LOADED = 1


class TimerEvent(IntEnum):
    ARMED = 0
    FIRED = 1
    CANCELLED = 2


class InputEvent(IntEnum):
    """What came from outside: a byte on a console, a finger, a key of a keyboard, an Ethernet frame."""

    KEY = 0
    TOUCH = 1
    KEYBOARD = 2
    FRAME = 3


class StopReason(IntEnum):
    """Why a persona's vCPU will not run again."""

    SHUTDOWN = 0
    RESET = 1
    OFF = 2
    FIXED_POINT = 3
    NEVER_WAKES = 4
    HANDLER = 5
    LIMIT = 6


class Stage2Event(IntEnum):
    """What EL2 did to a persona's stage-2 tables."""

    MAP = 0
    UNMAP = 1
    PROTECT = 2


class TlbiEvent(IntEnum):
    """How much EL2 invalidated: everything of a VMID (TLBI VMALLS12E1), or what an IPA's descriptor maps (TLBI IPAS2E1)."""

    VMID = 0
    IPA = 1


class DeviceEvent(IntEnum):
    """Which way an access to a device went."""

    READ = 0
    WRITE = 1


class PolicyEvent(IntEnum):
    """What was decided: who waits for a list register, who may not have a page, who is ended, who hears nothing."""

    SPILL = 0
    REFUSE = 1
    STOP = 2
    DROP = 3


class WalkAccess(IntEnum):
    """What was to be done at the address that was translated."""

    READ = 0
    WRITE = 1
    FETCH = 2

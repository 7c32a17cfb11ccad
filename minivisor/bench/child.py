"""A measurement in a process of its own: `python -m minivisor.bench.child WHAT`.

    row NAME ROUNDS QUICK    measure a row; a JSON line for each step of progress, one with the result
    first-frame              print a line as soon as the phone shows its home screen
    phone-memory             one second of two personas of 64 MiB, then the peak of resident memory in bytes
    import-memory            the same number of a process that has imported what we stand on

This module is imported by what it measures, so it imports nothing itself until it knows what for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

__all__ = ["ABSENT", "FRAME", "command", "first_frame", "main", "peak_memory"]

FRAME, ABSENT = "frame", "absent"
STEP, LONGEST = "1ms", 1_000  # virtual time: look at the screen so often, and give up after so many looks
SHARE = 0.02  # of the screen's pixels in the persona's colour: an empty screen has none


def command(*arguments: str) -> list[str]:
    """How a child is started."""
    return [sys.executable, "-m", "minivisor.bench.child", *arguments]


def first_frame() -> int:
    """Boot the phone until the screen shows the colour of the persona in front; returns the virtual time in ns."""
    from minivisor.phone.phone import Phone

    phone = Phone()
    colour = phone.foreground.settings.colour
    wanted = [colour >> 19 << 3, (colour >> 10 & 0x3F) << 2, (colour >> 3 & 0x1F) << 3]
    for _ in range(LONGEST):
        phone.run(STEP)
        shown = (phone.screen() & [0xF8, 0xFC, 0xF8] == wanted).all(axis=-1)
        if shown.mean() > SHARE:
            return phone.now
    raise RuntimeError(f"first frame: the screen did not show the persona's colour in {LONGEST} × {STEP}")


def peak_memory() -> int | None:
    """Peak resident memory of this process in bytes; None where the system does not say.

    Linux: VmHWM, which starts anew with each program; ru_maxrss remembers the process that started this one.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peak if sys.platform == "darwin" else peak << 10


def _row(name: str, rounds: str, quick: str) -> None:
    from dataclasses import asdict

    from minivisor.bench.rows import ROWS
    from minivisor.errors import MinivisorError

    def say(**what: object) -> None:
        print(json.dumps(what), flush=True)

    try:
        measured = ROWS[name].load()(int(rounds), quick == "quick", lambda part: say(progress=part))
        say(result=asdict(measured))
    except MinivisorError as error:
        say(error=str(error))


def _print_peak() -> None:
    peak = peak_memory()
    print(ABSENT if peak is None else peak)


def _phone_memory() -> None:
    from minivisor.phone.phone import Phone

    Phone(personal={"memory": 64 << 20}, work={"memory": 64 << 20}).run("1s").screen()
    _print_peak()


def _import_memory() -> None:
    import_ = __import__
    for name in ("numpy", "llvmlite.binding", "unicorn"):
        import_(name)
    _print_peak()


WHAT: dict[str, Callable[..., None]] = {
    "row": _row,
    "first-frame": lambda: print(FRAME, first_frame(), flush=True),
    "phone-memory": _phone_memory,
    "import-memory": _import_memory,
}


def main(arguments: list[str]) -> None:
    WHAT[arguments[0]](*arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])

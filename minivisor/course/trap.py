"""Showing a trap: the instruction that trapped among its neighbours, and what went wrong with an answer to it.

A check that fails should say where in the guest, not where in us. `explain` makes that text from a `Call`: who asked
what and from where, what was expected, what came, and the guest's code with an arrow at the trapped instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minivisor.arch.disassemble import around
from minivisor.arch.esr import describe
from minivisor.arch.psci import function_name
from minivisor.course.stage import Call
from minivisor.errors import GuestImageError
from minivisor.hypervisor.persona import Persona
from minivisor.stages import Hvc, Outcome

__all__ = ["Listing", "code_of", "explain", "listing", "trapped_at"]

Read = Callable[[int, int], bytes | None]
INSTRUCTION = 4  # bytes


@dataclass(frozen=True)
class Listing:
    """Instructions around an address. lines: (address, text). at: the one the arrow points to."""

    lines: tuple[tuple[int, str], ...]
    at: int

    def __repr__(self) -> str:
        return "\n".join(f"{'→' if address == self.at else ' '} {address:#x}  {text}" for address, text in self.lines)

    @property
    def instruction(self) -> str:
        """The text of the instruction the arrow points to, or an empty string when it could not be read."""
        return dict(self.lines).get(self.at, "")


def listing(read: Read, at: int, before: int = 3, after: int = 3) -> Listing:
    """Disassemble around an address. read(address, length): bytes there, None or LookupError where there is nothing."""
    return Listing(tuple((address, text) for address, _code, text in around(read, at, before, after)), at)


def code_of(persona: Persona, offset: int = 0) -> Read:
    """A persona's memory for `listing`, by virtual address.

    offset: what the guest's own mapping adds to its physical addresses, 0 when its MMU is off.
    """

    def read(address: int, length: int) -> bytes | None:
        try:
            return bytes(persona.span(address - offset, length))
        except GuestImageError:
            return None

    return read


def trapped_at(call: Call) -> int:
    """Address of the instruction that trapped. An HVC's preferred return address is already the next one."""
    return call.vcpu.pc - (INSTRUCTION if isinstance(call.exit, Hvc) else 0)


def explain(call: Call, expected: str, read: Read) -> str:
    """Several lines for a person whose handler answered something else than `expected` (words)."""
    exit, vcpu = call.exit, call.vcpu
    asked = f", X0 = {vcpu.x[0]:#x} ({function_name(vcpu.x[0] & 0xFFFF_FFFF)})" if isinstance(exit, Hvc) else ""
    lines = [
        f"{describe(exit.esr)} in persona {vcpu.persona!r}, vCPU {vcpu.index}{asked}",
        f"  expected  {expected}",
        f"  got       {_words(call.outcome)}",
        *(f"  {line}" for line in repr(listing(read, trapped_at(call), 2, 2)).splitlines()),
    ]
    return "\n".join(lines)


def _words(outcome: Outcome) -> str:
    writes = ", ".join(f"{name} = {_number(value)}" for name, value in outcome.writes.items())
    return f"{outcome.kind}, {writes or 'no register written'}"


def _number(value: int) -> str:
    """Both ways to read a register: as a number, and as the two's complement answer it may be."""
    return f"{value - (1 << 64)}" if value >> 63 else f"{value:,} ({value:#x})"

"""What happens to one persona besides its exits, as records: changes to its stage 2 and refused ones, TLBIs, its devices.

The parts it listens to know nothing of traces: each calls whoever watches it with plain values, nobody unless told.
"""

from __future__ import annotations

from collections.abc import Callable

from minivisor.errors import MinivisorError
from minivisor.trace.kinds import DeviceEvent, PolicyEvent, Stage2Event, TlbiEvent
from minivisor.trace.store import Trace

__all__ = ["Recorder"]

READ, WRITE = int(DeviceEvent.READ), int(DeviceEvent.WRITE)


class Recorder:
    """Records of one persona. now: virtual time in ns. first: its first vCPU's index now, which stands for all of it."""

    def __init__(self, trace: Trace, now: Callable[[], int], first: Callable[[], int], vmid: int) -> None:
        self._trace, self._now, self._first, self._vmid = trace, now, first, vmid

    def stage2(self, what: str, ipa: int, pa: int, size: int, prot: str) -> None:
        """A change to its stage 2: "map", "unmap" or "protect"."""
        self._trace.stage2(self._now(), self._first(), Stage2Event[what.upper()], ipa, pa, size, prot)

    def guarded(self, check: Callable[[int, int, str], None]) -> Callable[[int, int, str], None]:
        """`check(pa, size, prot)`, whose refusals are policy decisions about this persona."""

        def checked(pa: int, size: int, prot: str) -> None:
            try:
                check(pa, size, prot)
            except MinivisorError as refusal:
                self._trace.policy(self._now(), self._first(), PolicyEvent.REFUSE, "page ownership", str(refusal), pa)
                raise

        return checked

    def tlbi(self, ipa: int | None = None) -> None:
        """Translations of its VMID invalidated: all of them, or those that the descriptor of an IPA made."""
        event = TlbiEvent.VMID if ipa is None else TlbiEvent.IPA
        self._trace.tlbi(self._now(), self._first(), event, self._vmid, ipa or 0)

    def device(self, cpu: int, name: str, write: bool, ipa: int, width: int, value: int) -> None:
        """One of its vCPUs, by number, read or wrote a device's register."""
        self._trace.device(self._now(), self._first() + cpu, WRITE if write else READ, name, ipa, width, value)

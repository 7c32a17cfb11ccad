"""EL2's side of the virtual interface: the list registers of both GIC generations, and GICv3's system registers by name.

GICv2 has a bank of memory-mapped registers, GICv3 the system registers ICH_*_EL2; what they hold is the same but for the
list registers, whose fields moved and grew. The interface itself (`gicv`, `icv`) keeps one word for each, GICH_LR with what
GICv2 has no room for above bit 31. A GICv3 board's words change places here, on the way in and out, so that EL2 can only
ever see and write the architecture's form, and the guest's path costs the same.

    ICH_LR:   63:62  61  60   55:48     44:32          31:0
              State  HW  Grp  Priority  pINTID | EOI   vINTID
    GICH_LR:  29:28  31  30   27:23     19:10          12:10 CPUID of an SGI, 9:0      40:38        37:32
              State  HW  Grp  Priority  PhysicalID | EOI, VirtualID                    pINTID>>10   vINTID>>10

Five priority bits, sixteen bits of virtual interrupt id and four to sixteen list registers are implemented; the others are
RES0. Source: IHI 0048B, 5.3.8; IHI 0069, "ICH_*_EL2" and "Legacy operation".
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

from minivisor.machine.core import Core
from minivisor.machine.gicv import misr
from minivisor.machine.state import WORD

__all__ = ["INTERFACES", "Gich", "Ich"]

LR_AT = WORD["lr"]
STATE, HW, EOI = 3 << 28, 1 << 31, 1 << 19  # of the words that are kept
COMPLETED = STATE | HW | EOI
STORED = {
    # EOIcount, TDIR, TALL1, TALL0, TC, the eight conditions of GICH_HCR
    "ICH_HCR_EL2": (WORD["gich_hcr"], 0xF800_5CFF),
    "ICH_VMCR_EL2": (WORD["gich_vmcr"], 0xF8FC_021F),
    "ICH_AP0R0_EL2": (WORD["ich_ap0r"], 0xFFFF_FFFF),
    "ICH_AP1R0_EL2": (WORD["gich_apr"], 0xFFFF_FFFF),
    "ICC_SRE_EL1": (WORD["icc_sre"], 1),
}
"""Register -> its word, and the bits it has."""
VTR = 4 << 29 | 4 << 26 | 1 << 21 | 1 << 20 | 1 << 19
"""ICH_VTR_EL2: PRIbits and PREbits five, IDbits sixteen, A3V, nV4 (no direct injection), TDS (ICH_HCR_EL2.TDIR)."""


class Gich:
    """GICv2: a memory-mapped bank that EL2 alone sees. Words are GICH_LR<n>."""

    def __init__(self, core: Core, count: int) -> None:
        self._words, self._slots = core.words, slice(LR_AT, LR_AT + count)

    def write_list_registers(self, words: Iterable[int]) -> None:
        """All list registers of the board at once; as many words as there are."""
        self._words[self._slots] = memoryview(array("Q", words))

    def read_list_registers(self) -> list[int]:
        """All list registers."""
        return self._words[self._slots].tolist()


class Ich(Gich):
    """GICv3: system registers, by name through `Core.read` and `Core.write` too. Words are ICH_LR<n>_EL2."""

    def __init__(self, core: Core, count: int) -> None:
        super().__init__(core, count)
        self._core, self._count = core.address, count
        core.attach(self)

    def write_list_registers(self, words: Iterable[int]) -> None:
        """MSR ICH_LR<n>_EL2, one after the other."""
        super().write_list_registers(map(_kept, words))

    def read_list_registers(self) -> list[int]:
        """MRS ICH_LR<n>_EL2, one after the other."""
        return [_seen(word) for word in super().read_list_registers()]

    def read(self, name: str) -> int | None:
        """One system register by its name, None when there is none of this name."""
        words, at = self._words, self._list_register(name)
        if at is not None:
            return _seen(words[at])
        if name in STORED:
            return words[STORED[name][0]]
        return SHOWN[name](self) if name in SHOWN else None

    def write(self, name: str, value: int) -> bool:
        """Write one; those that only show something ignore it. False when there is none of this name."""
        words, at = self._words, self._list_register(name)
        if at is not None:
            words[at] = _kept(value)
        elif name in STORED:
            at, mask = STORED[name]
            words[at] = value & mask
        return at is not None or name in SHOWN

    def _list_register(self, name: str) -> int | None:
        """The position of ICH_LR<n>_EL2, of those that there are."""
        number = name[6:-4] if name[:6] == "ICH_LR" and name[-4:] == "_EL2" else ""
        return LR_AT + int(number) if number.isdecimal() and int(number) < self._count else None

    def _type(self) -> int:
        return VTR | self._count - 1

    def _maintenance(self) -> int:
        return int(misr(self._core))

    def _completed(self) -> int:
        """One bit a list register: its EOI was asked for, and has come."""
        words = self._words[self._slots].tolist()
        return sum(1 << n for n, word in enumerate(words) if word & COMPLETED == EOI)

    def _empty(self) -> int:
        """One bit a list register: free to be used."""
        words = self._words[self._slots].tolist()
        return sum(1 << n for n, word in enumerate(words) if not word & STATE and word & COMPLETED != EOI)


def _kept(ich: int) -> int:
    """What the virtual interface keeps of an ICH_LR<n>_EL2."""
    word = (ich >> 61 & 1) << 31 | (ich >> 60 & 1) << 30 | (ich >> 62) << 28 | (ich >> 51 & 0x1F) << 23
    word |= (ich >> 10 & 0x3F) << 32
    if ich >> 61 & 1:
        return word | (ich >> 42 & 7) << 38 | (ich >> 32 & 0x3FF) << 10 | ich & 0x3FF
    return word | (ich >> 41 & 1) << 19 | ich & 0x1FFF


def _seen(word: int) -> int:
    """The ICH_LR<n>_EL2 that reads back."""
    ich = (word >> 28 & 3) << 62 | (word >> 31 & 1) << 61 | (word >> 30 & 1) << 60 | (word >> 23 & 0x1F) << 51
    ich |= (word >> 32 & 0x3F) << 10 | word & 0x3FF
    if word >> 31 & 1:
        return ich | (word >> 38 & 7) << 42 | (word >> 10 & 0x3FF) << 32
    return ich | (word >> 19 & 1) << 41


SHOWN: dict[str, Callable[[Ich], int]] = {
    "ICH_VTR_EL2": Ich._type,
    "ICH_MISR_EL2": Ich._maintenance,
    "ICH_EISR_EL2": Ich._completed,
    "ICH_ELRSR_EL2": Ich._empty,
}
"""Read-only registers."""

INTERFACES: dict[int, type[Gich]] = {2: Gich, 3: Ich}
"""GIC architecture version -> its list registers."""

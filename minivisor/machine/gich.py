"""The list registers as EL2 reaches them: GICv2's words, or GICv3's system registers.

    board A   GICH_LR<n>       32 bits   as the virtual interface keeps them
    board B   ICH_LR<n>_EL2    64 bits   MSR and MRS; the same state, other places

Behind both stands one virtual CPU interface (`minivisor.machine.gicv`), because the guest sees a GICv2 page on either board:
GICv3 calls that legacy operation. It keeps list registers in the layout of GICH_LR. On a GICv3 a register write is where
the bits change places, so that EL2 can only ever see and write the architecture's form, and the guest's path costs the same.

    ICH_LR:   63:62  61  60   55:48     44:32          31:0
              State  HW  Grp  Priority  pINTID | EOI   vINTID
    GICH_LR:  29:28  31  30   27:23     19:10          12:10 CPUID of an SGI, 9:0

Five priority bits and ten bits of interrupt id are implemented; the others are RES0. Source: IHI 0048B, 5.3.8; IHI 0069,
ICH_LR<n>_EL2 and "Legacy operation".
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from minivisor.machine.core import Core
from minivisor.machine.state import WORD

__all__ = ["INTERFACES", "Gich", "Ich"]

LR_AT = WORD["lr"]


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
    """GICv3: system registers. Words are ICH_LR<n>_EL2."""

    def write_list_registers(self, words: Iterable[int]) -> None:
        """MSR ICH_LR<n>_EL2, one after the other."""
        super().write_list_registers(map(_kept, words))

    def read_list_registers(self) -> list[int]:
        """MRS ICH_LR<n>_EL2, one after the other."""
        return [_seen(word) for word in super().read_list_registers()]


def _kept(ich: int) -> int:
    """What the virtual interface keeps of an ICH_LR<n>_EL2."""
    word = (ich >> 61 & 1) << 31 | (ich >> 60 & 1) << 30 | (ich >> 62) << 28 | (ich >> 51 & 0x1F) << 23
    if ich >> 61 & 1:
        return word | (ich >> 32 & 0x3FF) << 10 | ich & 0x3FF
    return word | (ich >> 41 & 1) << 19 | ich & 0x1FFF


def _seen(word: int) -> int:
    """The ICH_LR<n>_EL2 that reads back."""
    ich = (word >> 28 & 3) << 62 | (word >> 31 & 1) << 61 | (word >> 30 & 1) << 60 | (word >> 23 & 0x1F) << 51
    if word >> 31 & 1:
        return ich | (word >> 10 & 0x3FF) << 32 | word & 0x3FF
    return ich | (word >> 19 & 1) << 41 | word & 0x1FFF


INTERFACES: dict[int, type[Gich]] = {2: Gich, 3: Ich}
"""GIC architecture version -> its list registers."""

"""Building stage-2 tables: which intermediate physical address is which piece of the phone's memory.

The hardware walks these tables on a TLB miss (the machine's walk); this module writes them. Everything is done by small
visitors over one walker, `minivisor.hypervisor.walker`, where the picture of the address space is too.

A live descriptor never changes in one step. It is broken (written invalid), its cached translations are invalidated,
and only then is the new one made: the architecture allows nothing else when a size, an output address or a memory type
changes (DDI 0487, "Using break-before-make when updating translation table entries").

Source: DDI 0487, D8.3 "Translation table descriptor formats", stage 2; VTCR_EL2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from minivisor.arch.descriptors import S2_PAGE, S2_TABLE, span
from minivisor.arch.sysregs import VTCR_EL2
from minivisor.errors import MinivisorError, fault
from minivisor.hypervisor.walker import BLOCK, IPA_BITS, LAST_LEVEL, LEAVES, PAGE, TABLE_OR_PAGE, Entry, visit
from minivisor.stages import Tables

__all__ = ["VTCR", "Stage2", "Stage2Error", "descriptor", "map_page", "protection", "unmap"]

# PS: 40 bits. Walks are inner shareable and write-back cacheable, as everything is here.
VTCR = int(VTCR_EL2.of(T0SZ=64 - IPA_BITS, SL0=1, IRGN0=1, ORGN0=1, SH0=3, TG0=0, PS=2))

WRITE_BACK, DEVICE_NGNRE = 0b1111, 0b0001  # MemAttr
INNER_SHAREABLE = 0b11  # SH
READ, WRITE = 0b01, 0b10  # S2AP
EXECUTE_NEVER = 0b10  # XN[1]; XN[0] is RES0 on ARMv8.0
DEVICE = "device-"


class Stage2Error(MinivisorError):
    """A mapping that cannot be written: not page aligned, outside the IPA space, or of an unknown protection."""


def descriptor(pa: int, level: int, prot: str) -> int:
    """The descriptor of a block (level 1, 2) or page (level 3).

    pa: output address in bytes, aligned to the entry's size. prot: letters of "rwx", for device memory after "device-".
    Returns 64 bits, AF set, XN unless "x".
    """
    letters, device = prot.removeprefix(DEVICE), prot.startswith(DEVICE)
    if level not in LEAVES or pa % span(level) or not set(letters) <= set("rwx"):
        given, expected = f"PA {pa:#x}, level {level}, {prot!r}", 'an aligned PA, level 1 to 3, of "rwx"'
        raise Stage2Error(fault("stage-2 descriptor", given, expected))
    leaf = LEAVES[level].of(
        OA=pa,
        AF=1,
        MemAttr=DEVICE_NGNRE if device else WRITE_BACK,
        SH=0 if device else INNER_SHAREABLE,
        S2AP=READ * ("r" in letters) | WRITE * ("w" in letters),
        XN=0 if "x" in letters else EXECUTE_NEVER,
        Type=TABLE_OR_PAGE if level == LAST_LEVEL else BLOCK,
    )
    return int(leaf)


def protection(entry: int) -> str:
    """The prot string a block or page descriptor was made from."""
    access = S2_PAGE.S2AP.decode(entry)
    letters = (("r", access & READ), ("w", access & WRITE), ("x", not S2_PAGE.XN.decode(entry)))
    device = DEVICE if S2_PAGE.MemAttr.decode(entry) == DEVICE_NGNRE else ""
    return device + "".join(letter for letter, allowed in letters if allowed)


# ── visitors ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def map_page(tables: Tables, ipa: int, pa: int, prot: str) -> None:
    """Map one 4 KiB page, allocating and splitting what is in the way. Addresses in bytes, page aligned."""
    _map(tables, ipa, pa, PAGE, prot)


def unmap(tables: Tables, ipa: int) -> None:
    """Remove the mapping of one 4 KiB page, if there is one."""
    _unmap(tables, ipa, PAGE)


def _map(tables: Tables, ipa: int, pa: int, size: int, prot: str) -> None:
    for entry in visit(tables, ipa, ipa + size):
        output = pa + entry.start - ipa
        if entry.whole and output % span(entry.level) == 0:
            _replace(tables, entry, descriptor(output, entry.level, prot))
        else:
            _descend(tables, entry)


def _unmap(tables: Tables, ipa: int, size: int) -> None:
    for entry in visit(tables, ipa, ipa + size):
        if entry.valid and entry.whole:
            _break(tables, entry)
        elif entry.valid:
            _descend(tables, entry)


def _protect(tables: Tables, ipa: int, size: int, prot: str) -> None:
    for entry in visit(tables, ipa, ipa + size):
        if entry.valid and entry.whole:
            _replace(tables, entry, descriptor(entry.output, entry.level, prot))
        elif entry.valid:
            _descend(tables, entry)


def _descend(tables: Tables, entry: Entry) -> None:
    """Put a table in place of an entry; for a block, one that maps the same, complete before the block breaks."""
    table = tables.alloc()
    if entry.valid:
        first = descriptor(entry.output, entry.level + 1, protection(entry.descriptor))
        for n in range(512):
            tables.write(table + 8 * n, first + n * span(entry.level + 1))
    _replace(tables, entry, int(S2_TABLE.of(Table=table, Type=TABLE_OR_PAGE)))


def _replace(tables: Tables, entry: Entry, new: int) -> None:
    if entry.descriptor == new:
        return
    if entry.valid:
        _break(tables, entry)
    tables.write(entry.slot, new)


def _break(tables: Tables, entry: Entry) -> None:
    tables.write(entry.slot, 0)
    tables.tlbi(entry.base)


# ── the builder ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Stage2:
    """The stage-2 address space of one persona.

    tables: where it is written. check: called with (pa, size, prot) before anything is; raises to refuse.
    mapper, unmapper: the replaceable `map_page` and `unmap`. Ours are not called page by page but work in blocks.
    watch: told of each change once it is made, as ("map" | "unmap" | "protect", ipa, pa, size, prot).
    """

    def __init__(
        self,
        tables: Tables,
        check: Callable[[int, int, str], None] = lambda _pa, _size, _prot: None,
        mapper: Callable[[Tables, int, int, str], None] = map_page,
        unmapper: Callable[[Tables, int], None] = unmap,
        watch: Callable[[str, int, int, int, str], None] = lambda _what, _ipa, _pa, _size, _prot: None,
    ) -> None:
        self.tables, self.watch = tables, watch
        self._check, self._mapper, self._unmapper = check, mapper, unmapper

    def map(self, ipa: int, pa: int, size: int, prot: str) -> None:
        """Map `size` bytes with the largest blocks that alignment allows. All three are multiples of 4 KiB."""
        _require_pages(ipa, size, pa)
        self._check(pa, size, prot)
        if self._mapper is map_page:
            _map(self.tables, ipa, pa, size, prot)
        else:
            for offset in range(0, size, PAGE):
                self._mapper(self.tables, ipa + offset, pa + offset, prot)
        self.watch("map", ipa, pa, size, prot)

    def unmap(self, ipa: int, size: int) -> None:
        """Remove whatever is mapped in the range."""
        _require_pages(ipa, size)
        if self._unmapper is unmap:
            _unmap(self.tables, ipa, size)
        else:
            for page in range(ipa, ipa + size, PAGE):
                self._unmapper(self.tables, page)
        self.watch("unmap", ipa, 0, size, "")

    def protect(self, ipa: int, size: int, prot: str) -> None:
        """Change the protection of whatever is mapped in the range; holes stay holes."""
        _require_pages(ipa, size)
        _protect(self.tables, ipa, size, prot)
        self.watch("protect", ipa, 0, size, prot)

    def translate(self, ipa: int) -> tuple[int, str] | None:
        """(PA, prot) of one IPA, None when it is not mapped."""
        _require_pages(ipa & -PAGE, PAGE)
        (entry,) = visit(self.tables, ipa, ipa + 1)
        return (entry.output + ipa - entry.base, protection(entry.descriptor)) if entry.valid else None

    def mappings(self) -> Iterator[tuple[int, int, int, str]]:
        """Every block and page as (IPA, PA, size, prot), in order of address."""
        for entry in visit(self.tables, 0, 1 << IPA_BITS):
            if entry.valid:
                yield entry.base, entry.output, span(entry.level), protection(entry.descriptor)


def _require_pages(ipa: int, size: int, pa: int = 0) -> None:
    if (ipa | size | pa) & PAGE - 1 or not 0 <= ipa <= ipa + size <= 1 << IPA_BITS or pa < 0 or size == 0:
        given, expected = f"IPA {ipa:#x}, PA {pa:#x}, {size:#x} bytes", f"multiples of 4 KiB inside a {IPA_BITS}-bit IPA space"
        raise Stage2Error(fault("stage-2 mapping", given, expected))

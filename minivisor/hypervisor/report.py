"""What is said when a persona ends without having asked for it: registers, the syndrome in words, the code around PC."""

from __future__ import annotations

from minivisor.arch.disassemble import around
from minivisor.arch.esr import describe
from minivisor.machine.core import Core

__all__ = ["report"]

BEFORE, AFTER = 4, 4


def report(core: Core, persona: str, reason: str) -> str:
    """Several lines of text about the loaded vCPU."""
    pc, pstate, esr = core.read("PC"), core.read("PSTATE"), core.read("ESR_EL1")
    lines = [
        f"persona {persona!r} stopped: {reason}",
        f"  PC {pc:#018x}  PSTATE {pstate:#010x}  SP {core.read('SP'):#018x}",
        f"  ESR_EL1 {esr:#010x}  {describe(esr)}",
        f"  ELR_EL1 {core.read('ELR_EL1'):#018x}  FAR_EL1 {core.read('FAR_EL1'):#018x}  VBAR_EL1 {core.read('VBAR_EL1'):#018x}",
    ]
    for first in range(0, 31, 4):
        names = [f"X{n}" for n in range(first, min(first + 4, 31))]
        lines.append("  " + "  ".join(f"{name:>3} {core.read(name):#018x}" for name in names))
    listing = around(lambda address, _size: core.code_at(address).to_bytes(4, "little"), pc, BEFORE, AFTER)
    lines += [f"  {'→' if address == pc else ' '} {address:#x}  {text}" for address, _code, text in listing]
    return "\n".join(lines)

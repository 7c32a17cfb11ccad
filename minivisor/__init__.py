"""minivisor: a phone with two people in it, on one simulated Arm core.

    from minivisor import Phone

The four names below are loaded when they are first used (PEP 562): `minivisor --help` and a notebook's first cell must
not wait for NumPy and the CPU engine, which take a third of a second to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minivisor.hypervisor.hypervisor import Hypervisor
    from minivisor.machine.board import Machine
    from minivisor.phone.phone import Phone
    from minivisor.trace.store import Trace

__all__ = ["Hypervisor", "Machine", "Phone", "Trace", "__version__"]

__version__ = "0.1.0"

_HOME = {
    "Hypervisor": "minivisor.hypervisor.hypervisor",
    "Machine": "minivisor.machine.board",
    "Phone": "minivisor.phone.phone",
    "Trace": "minivisor.trace.store",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'minivisor' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

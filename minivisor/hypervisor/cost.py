"""What EL2's work costs the guests, in virtual time.

The hypervisor here is Python beside the machine, so its own instructions are not retired by the core. A `CostModel` says
what an exit and a world switch would take, and the clock moves by that. The default is zero: time is what guests retire.
Every result names the model it was measured under.

Software that waits for a time by reading the counter waits for very many instructions when each is a nanosecond. Under
"polling" a read of the counter takes a microsecond: kvm-unit-tests, which do little else, are through a hundred times sooner.

The one published profile is KVM/ARM on an Arm server core at 2.4 GHz, from C. Dall, S.-W. Li, J. T. Lim, J. Nieh and
G. Koloventzos, "ARM Virtualization: Performance and Architectural Implications", ISCA 2016, table II: hypercall 6,500
cycles, interrupt controller trap 7,370, VM switch 10,387. One cycle there is 1/2.4 ns here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from minivisor.errors import OptionError

__all__ = ["COST_MODELS", "CostModel", "cost_model"]

EC_DATA_ABORT = 0x24


@dataclass(frozen=True, slots=True)
class CostModel:
    """exit: ns for an exit to EL2 and back. switch: ns for a world switch. by_class: ns for exits of one exception class.

    counter: ns for a read of the counter, which is no exit.
    """

    name: str = "zero"
    exit: int = 0
    switch: int = 0
    by_class: Mapping[int, int] = field(default_factory=dict)
    counter: int = 0

    def of_exit(self, exception_class: int) -> int:
        """What an exit with this ESR_EL2.EC costs, in ns."""
        return self.by_class.get(exception_class, self.exit)


_KVM = CostModel("kvm-arm-2016", exit=2708, switch=4328, by_class={EC_DATA_ABORT: 3071})
COST_MODELS = {model.name: model for model in (CostModel(), _KVM, replace(_KVM, name="polling", counter=1000))}


def cost_model(name: str) -> CostModel:
    """A cost model by its name. Raises OptionError for one that is not there."""
    if name not in COST_MODELS:
        raise OptionError(f"cost model: {name!r} is unknown; there is {', '.join(COST_MODELS)} (minivisor/hypervisor/cost.py)")
    return COST_MODELS[name]

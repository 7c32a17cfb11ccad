"""Register explorer: what does each bit of a register mean, and what would another value say?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from minivisor import arch
from minivisor.arch.bits import Register
from minivisor.errors import OptionError, fault
from minivisor.views.records import described
from minivisor.views.view import View

__all__ = ["RegisterExplorer", "registers"]


@cache
def registers() -> Mapping[str, type[Register]]:
    """Every register that `minivisor.arch` declares, by name."""
    found: dict[str, type[Register]] = {}
    for module in sorted(each.name for each in iter_modules(arch.__path__)):
        for name, value in vars(import_module(f"minivisor.arch.{module}")).items():
            if isinstance(value, type) and issubclass(value, Register) and value.layout and not name.startswith("_"):
                found[value.__name__] = value
    return dict(sorted(found.items()))


class RegisterExplorer(View):
    """A register's fields: type a value and see them, go to one and edit it; a step is a field, the topmost first.

    register: its name or class. others: names of further registers to choose from; all of them unless given.
    """

    name = "register"

    def __init__(
        self,
        register: str | type[Register] | Register,
        value: int = 0,
        others: Sequence[str] | None = None,
        *,
        step: int = -1,
    ) -> None:
        if isinstance(register, Register):
            first, value = type(register).__name__, int(register)
        else:
            first = register if isinstance(register, str) else register.__name__
        known = registers()
        if first not in known:
            raise OptionError(fault("register", first, "a register of minivisor/arch, as in HCR_EL2", "minivisor/arch"))
        number = known[first](value)
        offered = dict.fromkeys([first, *(known if others is None else others)])
        told: dict[str, Any] = {"register": first, "value": f"{int(number):x}"}
        super().__init__({**told, "registers": [described(known[name]) for name in sorted(offered)]}, step)

    @property
    def register(self) -> Register:
        """The register with the value that is shown; a reader's edits included."""
        shown = {**self.state, **self.ui}
        return registers()[shown["register"]](int(shown["value"], 16))

"""The registers that a world switch moved, as records: enough to draw the first switches of a run from its trace alone.

    SWITCH personal → work
    REGISTERS personal, saved,  "PSTATE PC X0 X1 X2 X3"   6 words ┐ only what is not as it was recorded last,
    REGISTERS personal, saved,  "X4 X5 …"                         │ so a switch takes few rows
    REGISTERS work,     loaded, …                                 ┘

A row has room for six words; a register of 128 bits takes two, "V0.D[0]" and "V0.D[1]". What a vCPU has in its registers is
known once every set of names has been seen for it, which is at its first records: `sets` says how many there are. Only the
first switches of a run are kept (`Trace.registers` says how many), because 148 words at every switch would cost more than the
run itself. `views/js/world.js` puts them together again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

__all__ = ["Registers"]

WORDS = 6
MASK = (1 << 64) - 1
State = Mapping[str, int]


def _parts(name: str) -> tuple[tuple[str, int], ...]:
    """(what a word is called, how far it is shifted in its register). V0 to V31 have two, as the manual names them."""
    wide = name[:1] == "V" and name[1:].isdigit()
    return ((f"{name}.D[0]", 0), (f"{name}.D[1]", 64)) if wide else ((name, 0),)


class Registers:
    """What was recorded last of each vCPU, so that only differences are. left: so many switches will still be recorded."""

    def __init__(self, left: int) -> None:
        self.left = left
        self._known: set[str] = set()
        self._sets: list[tuple[str, tuple[tuple[str, int], ...]]] = []
        self._last: dict[tuple[int, int], tuple[int, ...]] = {}

    def rows(self, vcpu: int, state: State) -> Iterator[tuple[str, int, tuple[int, ...]]]:
        """(names, sets there are, six words) of every set that differs from what this vCPU had in it."""
        self._learn(state)
        for at, (names, parts) in enumerate(self._sets):
            words = tuple(state.get(name, 0) >> shift & MASK for name, shift in parts)
            if self._last.get((vcpu, at)) != words:
                self._last[vcpu, at] = words
                yield names, len(self._sets), words + (0,) * (WORDS - len(words))

    def _learn(self, state: State) -> None:
        """Names that are new, in sets of six words."""
        new = [(name, part) for name in state if name not in self._known for part in _parts(name)]
        self._known.update(state)
        for at in range(0, len(new), WORDS):
            taken = new[at : at + WORDS]
            words = " ".join(called for _, (called, _) in taken)
            self._sets.append((words, tuple((name, shift) for name, (_, shift) in taken)))

"""Registers as classes of named bit ranges: one line a field, everything else derived.

A register is declared once, most significant field first or last as the reader prefers:

    class HPFAR_EL2(Register, width=64, source="DDI 0487, HPFAR_EL2"):
        NS = Bit(63, "the faulting IPA is Non-secure")
        FIPA = Address(43, 4, "faulting IPA", unit=12)

and from that one declaration come decoding (`HPFAR_EL2(0x90000).FIPA`), encoding (`HPFAR_EL2.of(FIPA=0x9000000)`), a
repr that says in words which fields are set, and a bit diagram (`.diagram()` as text, an SVG in a notebook).

Invariants, checked when the class is made: a field lies inside the register and no two fields overlap. Bits that no
field names are RES0: they are shown under that name and *kept*, so that `int(R(v)) == v` and
`R.of(**R(v).fields()) == R(v)` for every v. An instance never changes; `.replace()` makes another.

The spelling of names is the architecture's; the words are in the description and the table of values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import index
from typing import Any, ClassVar, NamedTuple, NoReturn, Self, SupportsIndex, overload

from minivisor.arch import diagram

__all__ = ["Address", "Bit", "Bits", "Cell", "Register"]

RES0 = "RES0"
RES1 = "RES1"


class Bits:
    """A field: bits `msb` down to `lsb`, both included. `values` gives words for values with a meaning of their own.

    On a class, the attribute is this description; on an instance, it is the field's value.
    """

    def __init__(self, msb: int, lsb: int, description: str = "", values: Mapping[int, str] | None = None) -> None:
        if not 0 <= lsb <= msb:
            raise TypeError(f"a field runs from msb down to lsb, not [{msb}:{lsb}]")
        self.msb, self.lsb, self.description = msb, lsb, description
        self.values: dict[int, str] = dict(values or {})
        self.width = msb - lsb + 1
        self.mask = ((1 << self.width) - 1) << lsb
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, register: None, owner: type) -> Self: ...

    @overload
    def __get__(self, register: Register, owner: type) -> int: ...

    def __get__(self, register: Register | None, owner: type) -> Self | int:
        return self if register is None else self.decode(int(register))

    def __set__(self, register: Register, value: int) -> NoReturn:
        raise AttributeError(f"{type(register).__name__} is a value: use .replace({self.name}={value!r})")

    def decode(self, word: int) -> int:
        """The field's value in a whole register value."""
        return (word & self.mask) >> self.lsb

    def encode(self, value: SupportsIndex, register: str = "register") -> int:
        """The field's bits, in place. ValueError when `value` does not fit."""
        number = index(value)
        if not 0 <= number < 1 << self.width:
            raise ValueError(
                f"{register}.{self.name}: {number:#x} does not fit in {self.width} bits [{self.range()}], "
                f"expected 0 to {(1 << self.width) - 1:#x}"
            )
        return number << self.lsb

    def range(self) -> str:
        """The bit numbers as the Arm ARM prints them: `31:26`, or `5` for one bit."""
        return f"{self.msb}:{self.lsb}" if self.width > 1 else str(self.lsb)

    def meaning(self, value: int) -> str:
        """What `value` says, in words: from the table of values, else the field's description."""
        return self.values.get(value, self.description)

    def show(self, value: int) -> str:
        return f"{value:#x}" if value > 9 else str(value)


class Bit(Bits):
    """A field of one bit."""

    def __init__(self, bit: int, description: str = "", values: Mapping[int, str] | None = None) -> None:
        super().__init__(bit, bit, description, values)


class Address(Bits):
    """An address kept without its low bits: the value is in bytes, `field << unit`. `unit` is `lsb` unless given."""

    def __init__(self, msb: int, lsb: int, description: str = "", *, unit: int | None = None) -> None:
        super().__init__(msb, lsb, description)
        self.unit = lsb if unit is None else unit

    def decode(self, word: int) -> int:
        return super().decode(word) << self.unit

    def encode(self, value: SupportsIndex, register: str = "register") -> int:
        number = index(value)
        if number & ((1 << self.unit) - 1):
            raise ValueError(f"{register}.{self.name}: {number:#x} is not aligned to {1 << self.unit:#x} bytes")
        if not 0 <= number < 1 << (self.width + self.unit):
            raise ValueError(
                f"{register}.{self.name}: {number:#x} does not fit in {self.width} bits [{self.range()}] "
                f"of an address in units of {1 << self.unit:#x} bytes"
            )
        return number >> self.unit << self.lsb

    def show(self, value: int) -> str:
        return f"{value:#x}"


class Cell(NamedTuple):
    """One box of a bit diagram: a field or a run of reserved bits, and its value in one register value."""

    name: str
    msb: int
    lsb: int
    value: str
    meaning: str
    is_set: bool


class Register:
    """A register value. Subclass it with `width` (bits) and `source` (document and section), one field a line."""

    __slots__ = ("_value",)
    _value: int

    width: ClassVar[int] = 64
    source: ClassVar[str] = ""
    layout: ClassVar[Mapping[str, Bits]] = {}
    """Fields by name, from bit 0 up."""
    reserved_mask: ClassVar[int] = (1 << 64) - 1

    def __init_subclass__(cls, *, width: int | None = None, source: str | None = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls.width = cls.width if width is None else width
        cls.source = cls.source if source is None else source
        found = {**cls.layout, **{name: field for name, field in vars(cls).items() if isinstance(field, Bits)}}
        cls.layout = dict(sorted(found.items(), key=lambda item: item[1].lsb))
        cls.reserved_mask = (1 << cls.width) - 1
        for name, field in cls.layout.items():
            if field.mask & ~cls.reserved_mask:
                what = "lies outside the register" if field.msb >= cls.width else "overlaps another field"
                raise TypeError(f"{cls.__name__}.{name}: [{field.range()}] {what} (width {cls.width})")
            cls.reserved_mask &= ~field.mask

    def __init__(self, value: SupportsIndex = 0) -> None:
        number = index(value)
        if not 0 <= number < 1 << self.width:
            raise ValueError(f"{type(self).__name__}: {number:#x} does not fit in {self.width} bits")
        object.__setattr__(self, "_value", number)

    @classmethod
    def of(cls, **fields: SupportsIndex) -> Self:
        """Encode from fields by name; the others are 0, but those named RES1. `RES0=` takes reserved bits in place."""
        preset = {name: field.mask >> field.lsb for name, field in cls.layout.items() if name.startswith(RES1)}
        return cls(0).replace(**{**preset, **fields})

    def replace(self, **fields: SupportsIndex) -> Self:
        """The same value with some fields changed."""
        word, name = self._value, type(self).__name__
        for key, value in fields.items():
            if key == RES0:
                word = word & ~self.reserved_mask | self._reserved(index(value))
                continue
            field = self.layout.get(key)
            if field is None:
                raise ValueError(f"{name} has no field {key!r}; it has {', '.join(self.layout)} ({self.source})")
            word = word & ~field.mask | field.encode(value, name)
        return type(self)(word)

    def _reserved(self, value: int) -> int:
        if value & ~self.reserved_mask:
            raise ValueError(f"{type(self).__name__}.RES0: {value:#x} has bits outside {self.reserved_mask:#x}")
        return value

    def fields(self) -> dict[str, int]:
        """Every field's value by name, from bit 0 up; reserved bits, in place, under RES0 when any is set."""
        decoded = {name: field.decode(self._value) for name, field in self.layout.items()}
        reserved = self._value & self.reserved_mask
        return {**decoded, RES0: reserved} if reserved else decoded

    def meaning(self, name: str) -> str:
        """What field `name` says here, in words."""
        field = self.layout[name]
        return field.meaning(field.decode(self._value))

    def cells(self) -> Iterator[Cell]:
        """The register from its most significant bit down: fields and runs of reserved bits."""
        top = self.width - 1
        for field in reversed(list(self.layout.values())):
            if field.msb < top:
                yield self._gap(top, field.msb + 1)
            value = field.decode(self._value)
            yield Cell(field.name, field.msb, field.lsb, field.show(value), field.meaning(value), value != 0)
            top = field.lsb - 1
        if top >= 0:
            yield self._gap(top, 0)

    def _gap(self, msb: int, lsb: int) -> Cell:
        value = self._value >> lsb & ((1 << (msb - lsb + 1)) - 1)
        return Cell(RES0, msb, lsb, f"{value:#x}" if value else "0", "reserved", value != 0)

    def diagram(self) -> str:
        """A text diagram of at most 80 columns, with the set fields in words below it."""
        return diagram.text(type(self).__name__, self._value, self.width, list(self.cells()))

    def _repr_html_(self) -> str:
        return diagram.html(type(self).__name__, self._value, self.width, self.source, list(self.cells()))

    def __repr__(self) -> str:
        words = [
            f"{cell.name}={cell.value}" + (f" ({cell.meaning})" if cell.meaning else "")
            for cell in self.cells()
            if cell.is_set
        ]
        return f"{type(self).__name__}({self._value:#x}{': ' if words else ''}{', '.join(reversed(words))})"

    def __int__(self) -> int:
        return self._value

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Register) and type(other) is type(self) and other._value == self._value

    def __hash__(self) -> int:
        return hash((type(self), self._value))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is a value: use .replace({name}={value!r})")

    def __reduce__(self) -> tuple[Callable[[int], Self], tuple[int]]:
        return type(self), (self._value,)

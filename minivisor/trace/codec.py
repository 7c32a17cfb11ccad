"""Between rows and records, by what each record class declares: decode, encode, and what a row from a file must not hold."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, ClassVar, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np

from minivisor.trace.records import COLUMNS, KINDS, TEXT, Kind, Record, Rows

__all__ = ["FIELDS", "Field", "decode", "encode", "field_names", "problem"]

_INDEX = {name: position for position, name in enumerate(COLUMNS)}


class Field(NamedTuple):
    """One field of a record class. at: the position of its column. members: of an enumeration. text: does it number a text?"""

    name: str
    at: int
    members: type[IntEnum] | None
    text: bool

    @property
    def column(self) -> str:
        return COLUMNS[self.at]


def _declared(cls: type[Record]) -> list[Field]:
    found = []
    for name, hint in get_type_hints(cls, include_extras=True).items():
        if get_origin(hint) is ClassVar:
            continue
        kind, column, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint, name)
        found.append(Field(name, _INDEX[column], kind if issubclass(kind, IntEnum) else None, TEXT in marks))
    return found


FIELDS = {kind: _declared(cls) for kind, cls in KINDS.items()}
"""The fields of each kind of record."""
_CODES = {kind: [(field.name, field.at, field.members) for field in declared] for kind, declared in FIELDS.items()}


def decode(row: Sequence[int]) -> Record:
    """The record a row holds. row: integers in the order of COLUMNS. ValueError for an unknown kind or member."""
    kind = row[_INDEX["kind"]]
    if kind not in KINDS:
        raise ValueError(f"unknown record kind {kind}")
    return KINDS[kind](**{name: enum(row[at]) if enum else row[at] for name, at, enum in _CODES[kind]})


def encode(record: Record) -> tuple[int, ...]:
    """A record as the integers of a row, in the order of COLUMNS; columns it does not use are 0."""
    row = [0] * len(COLUMNS)
    row[_INDEX["kind"]] = record.kind
    for name, at, _ in _CODES[record.kind]:
        row[at] = int(getattr(record, name))
    return tuple(row)


def field_names(kind: int) -> dict[str, str]:
    """Column -> what a kind calls the field it keeps there."""
    return {field.column: field.name for field in FIELDS[Kind(kind)]}


def problem(rows: Rows, texts: int) -> str | None:
    """What keeps rows from a file from being decoded, or None. texts: how many texts the file has."""
    unknown = ~np.isin(rows["kind"], list(KINDS))
    if unknown.any():
        return f"record {int(unknown.argmax())} of unknown kind {int(rows['kind'][unknown.argmax()])}"
    for kind, declared in FIELDS.items():
        own = rows[rows["kind"] == kind]
        for field in declared:
            values = own[field.column]
            if field.members and not np.isin(values, list(field.members)).all():
                return f"a {Kind(kind).name} record with an unknown {field.name}"
            if field.text and (values >= texts).any():
                return f"a {Kind(kind).name} record without its text"
    return None

"""Rows and records say the same thing, for every kind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivisor import stages
from minivisor.arch.esr import EC, EC_NAMES, esr
from minivisor.trace import codec, records
from minivisor.trace.records import KINDS, Kind, Record
from minivisor.trace.row import COLUMNS, DIGEST_BYTES, DTYPE, ROW

LIMITS = {name: int(np.iinfo(DTYPE[name]).max) for name in COLUMNS}


@st.composite
def any_record(draw: st.DrawFn) -> Record:
    """A record of any kind with any value its columns can hold."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    values: dict[str, int] = {}
    for field in codec.FIELDS[kind]:
        any_number = st.integers(0, LIMITS[field.column])
        values[field.name] = draw(st.sampled_from(list(field.members)) if field.members else any_number)
    return KINDS[kind](**values)


@given(any_record())
def test_every_record_survives_a_row(record: Record) -> None:
    row = codec.encode(record)
    assert codec.decode(row) == record
    packed = np.frombuffer(ROW.pack(*row), DTYPE)
    assert codec.decode(packed[0].item()) == record
    assert record.describe()
    assert "\n" not in record.describe()


def test_the_row_is_one_layout_for_numpy_and_struct() -> None:
    assert DTYPE.itemsize == ROW.size == 80
    assert COLUMNS[-1] == "host"
    assert DTYPE.fields is not None
    assert DTYPE.fields["host"][1] == DIGEST_BYTES


def test_no_two_fields_of_a_record_share_a_column() -> None:
    for kind, declared in codec.FIELDS.items():
        columns = [field.at for field in declared]
        assert len(columns) == len(set(columns)), Kind(kind).name
    assert set(KINDS) == set(Kind)


def test_outcomes_are_those_of_the_seam() -> None:
    documented = stages.Outcome.__doc__ or ""
    for outcome in records.Outcome:
        assert outcome is records.Outcome.NONE or f'"{outcome.name.lower()}"' in documented


def test_an_unknown_kind_or_member_is_refused() -> None:
    row = list(codec.encode(records.IrqRecord(intid=27)))
    row[COLUMNS.index("detail")] = 99
    with pytest.raises(ValueError, match="99"):
        codec.decode(row)
    row[COLUMNS.index("kind")] = 77
    with pytest.raises(ValueError, match="unknown record kind 77"):
        codec.decode(row)


def test_words() -> None:
    hvc = records.ExitRecord(pc=0x40080000, esr=0x5A000000, outcome=records.Outcome.RESUME)
    assert hvc.describe() == "HVC: #0x0 at pc 0x40080000: resume"
    assert (
        "PSCI CPU_ON_64(0x1, 0x0, 0x0) = -4"
        in records.PsciRecord(function=0xC4000003, x1=1, result=(1 << 64) - 4).describe()
    )
    irq = records.IrqRecord(event=records.IrqEvent.SPILLED, intid=27)
    assert irq.describe() == "spilled: 27 virtual timer, priority 0x0, list register 0"
    assert records.SwitchRecord(previous=1, reason=records.SwitchReason.SLICE).describe() == "slice: after vcpu 1"
    assert records.SchedRecord(slice=5_000_000, runnable=0b101).describe() == "for 5,000,000 ns; ready: vcpu 0 2"
    walk = records.WalkRecord(va=0x1000, fsc=0x07, steps=4)
    assert walk.describe() == "read of VA 0x1000 at EL1: translation fault, level 3, 4 steps"


def test_exit_classes() -> None:
    assert records.exit_class(0, esr(EC.WFX)) == EC_NAMES[EC.WFX]
    assert records.exit_class(records.ExitCause.IRQ, 0) == "Physical IRQ"
    assert records.exit_class(0, 0x3F << 26) == "Reserved exception class 0x3f"


def test_records_are_values() -> None:
    record = records.FrameRecord(pixels=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.pixels = 6  # type: ignore[misc]
    assert dataclasses.replace(record, pixels=6) != record

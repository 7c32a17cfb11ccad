"""Stage-2 faults: a device answers completely described accesses, everything else finds nobody."""

from dataclasses import replace

import pytest

from minivisor.hypervisor.aborts import AbortHandler
from minivisor.hypervisor.emulate import access
from minivisor.platform.bus import Bus
from minivisor.stages import Access, DataAbort, InstructionAbort, Outcome, Vcpu

ME = Vcpu(1, "work", tuple(range(0x100, 0x11F)), pc=0x4020_0000)
LOAD = DataAbort(
    esr=0, ec=0x24, iss=0, far=0x0900_0018, ipa=0x0900_0018, status=6, s1ptw=False, write=False, valid=True, size=1,
    sign_extend=True, register=7, sixty_four=False, cache_maintenance=False,
)  # fmt: skip


class Recorder:
    """A device that answers every load with the low bits of 0xF9 and remembers what it was asked."""

    def __init__(self):
        self.calls = []

    def read(self, *what):
        self.calls.append(("read", *what))
        return 0xF9

    def write(self, *what):
        self.calls.append(("write", *what))


@pytest.fixture
def plain():
    return Recorder()


@pytest.fixture
def banked():
    return Recorder()


@pytest.fixture
def on_abort(plain, banked):
    bus = Bus()
    bus.add(0x0900_0000, 0x1000, plain)
    bus.add_banked(0x0800_0000, 0x1000, banked)
    return AbortHandler(bus)


def test_a_load_reads_the_device_and_steps_on(on_abort, plain):
    assert on_abort(LOAD, ME) == Outcome(writes={"X7": 0xFFFF_FFF9, "PC": 0x4020_0004})
    assert plain.calls == [("read", 0x18, 1)]


def test_a_store_reaches_the_device_cut_to_its_width(on_abort, plain):
    assert on_abort(replace(LOAD, write=True), ME) == Outcome(writes={"PC": 0x4020_0004})
    assert plain.calls == [("write", 0x18, 1, 0x07)]


def test_a_banked_device_hears_who_asks(on_abort, banked):
    on_abort(replace(LOAD, ipa=0x0800_0100), ME)
    on_abort(replace(LOAD, ipa=0x0800_0100, write=True), ME)
    assert banked.calls == [("read", 0x100, 1, 1), ("write", 0x100, 1, 0x07, 1)]


@pytest.mark.parametrize(
    ("ipa", "width", "answer"),
    [
        (0x0900_0000, 1, 0xF9),
        (0x0900_0000, 8, 0xF9),
        (0x0900_0FF8, 8, 0xF9),
        (0x0900_0FF9, 8, None),
        (0x08FF_FFFC, 8, None),
    ],
)
def test_the_bus_answers_from_the_first_byte_to_the_last(plain, ipa, width, answer):
    bus = Bus()
    bus.add(0x0900_0000, 0x1000, plain)
    assert bus.perform(Access(ipa, width, write=False, register=0), 0) == answer
    assert bus.perform(Access(ipa, width, write=True, register=0, value=1), 0) == (None if answer is None else 0)


@pytest.mark.parametrize(
    "change",
    [
        {"ipa": 0x0900_1000},
        {"ipa": 0x08FF_FFFF},
        {"ipa": 0x0900_0FFE, "size": 4},
        {"valid": False},
        {"s1ptw": True},
        {"status": 0b001110},
        {"status": 0b010000},
    ],
    ids=str,
)
def test_nobody_answers(on_abort, plain, change):
    assert on_abort(replace(LOAD, **change), ME).kind == "abort"
    assert plain.calls == []


@pytest.mark.parametrize("status", [4, 5, 6, 7])
def test_a_translation_fault_at_any_level_is_a_device_access(on_abort, status):
    assert on_abort(replace(LOAD, status=status), ME).kind == "resume"


def test_a_fetch_from_a_device_aborts(on_abort, plain):
    fetch = InstructionAbort(0, 0x20, 0, far=0x0900_0000, ipa=0x0900_0000, status=6, s1ptw=False)
    assert on_abort(fetch, ME).kind == "abort"
    assert plain.calls == []


def test_cache_maintenance_on_a_device_is_done_at_once(on_abort, plain):
    outcome = on_abort(replace(LOAD, cache_maintenance=True, write=True, valid=False), ME)
    assert outcome == Outcome(writes={"PC": 0x4020_0004})
    assert plain.calls == []


def test_the_decoder_is_replaceable(plain):
    bus = Bus()
    bus.add(0, 0x1000, plain)
    moved = AbortHandler(bus, access=lambda exit, registers: replace(access(exit, registers), ipa=0x44))
    moved(LOAD, ME)
    assert plain.calls == [("read", 0x44, 1)]


def test_two_devices_share_a_page_and_one_spans_two(plain, banked):
    bus = Bus()
    bus.add(0x1000, 0x10, plain)
    bus.add_banked(0x1F00, 0x200, banked)
    for ipa in (0x100F, 0x1010, 0x1EFF, 0x1F00, 0x2000, 0x20FF, 0x2100):
        bus.perform(Access(ipa, 1, write=False, register=0), 3)
    assert plain.calls == [("read", 0xF, 1)]
    assert banked.calls == [("read", offset, 1, 3) for offset in (0, 0x100, 0x1FF)]


def test_only_a_device_with_a_deadline_may_have_moved_it(plain):
    class Alarm(Recorder):
        deadline = 5

    bus = Bus()
    bus.add(0, 0x1000, plain)
    bus.add(0x1000, 0x1000, Alarm())
    bus.perform(Access(0, 4, write=True, register=0), 0)
    bus.perform(Access(0x2000, 4, write=True, register=0), 0)
    assert not bus.rescheduled()
    bus.perform(Access(0x1000, 4, write=False, register=0), 0)
    assert bus.rescheduled() and not bus.rescheduled()

"""The rows about guests, once and small, in this process: that each operation happens, and takes the exits it must."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from minivisor import guests
from minivisor.bench import guest, operations, qemu, recording, svc, tlb, walks
from minivisor.bench.hosted import Hosted
from minivisor.bench.operations import OPERATIONS
from minivisor.bench.pairs import Measured
from minivisor.bench.peers import BareCalls
from minivisor.trace.store import Trace


def nothing(_part: float) -> None:
    pass


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without QEMU."""
    monkeypatch.setattr(qemu, "installed", lambda: False)


EXITS = {
    "eoi": (0.0, set[str]()),
    "mmio_read_vgic": (1.0, {"Data Abort from a lower EL"}),
    "mmio_read_user": (1.0, {"Data Abort from a lower EL"}),
    "timer": (1.0, {"Trapped WFI or WFE"}),  # the interrupt itself wakes: it is no exit of a vCPU that sleeps
    "ipi": (1.5, {"Data Abort from a lower EL", "Trapped WFI or WFE"}),  # each sends; of two, one sleeps meanwhile
}


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_an_operation_takes_the_exits_it_must(name: str, alone: None) -> None:
    measured = operations.measure(name, 1, True, nothing)
    wanted, classes = EXITS[name]
    counted = {kind for kind, count in measured.detail["exits"].items() if count > 2}
    assert counted == classes
    assert measured.detail["operations"] > 100
    assert abs(measured.detail["exits_an_operation"] - wanted) < 0.02
    assert (measured.detail["state_bytes_an_operation"] > 256) is bool(classes)
    assert measured.pairs[0][0] > 0 and measured.pairs[0][1] is None
    assert measured.not_run == qemu.ABSENT


@pytest.mark.needs("qemu")
@pytest.mark.parametrize(
    "bootargs", ["eoi 300", "mmio_read_vgic 300", "mmio_read_user 300", "timer 30", "ipi 40", "tlb 2048"]
)
def test_qemu_runs_the_same_operations_and_tells_the_time(bootargs: str) -> None:
    told = qemu.run(bootargs, cpus=2)
    assert told.startswith(f"bench: {bootargs}, ")
    assert told.nanoseconds > 1_000


def test_a_peer_that_reports_no_time_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match=r"no time reported.*kernel panic"):
        _ = qemu.QemuRun("kernel panic").nanoseconds


def test_an_operation_that_does_not_happen_is_no_measurement(alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hosted, "operations", 7)
    with pytest.raises(RuntimeError, match="eoi: the bench guest did nothing"):
        operations.measure("eoi", 1, True, nothing)


def test_a_guest_that_ends_is_no_measurement() -> None:
    hosted = Hosted("hvc 1")
    hosted.boot()
    with pytest.raises(RuntimeError, match=r"ended too early.*hvc 1"):
        hosted.advance(1_000_000)


def test_system_calls_make_no_exit() -> None:
    measured = svc.measure(1, True, nothing)
    assert measured.detail["calls"] > 5_000
    assert measured.detail["exits"] <= 1  # a slice may end meanwhile
    assert None not in measured.pairs[0]


def test_the_peer_takes_each_call_to_el1_and_back() -> None:
    calls = BareCalls()
    calls.run(10)
    calls.run(3)
    assert calls.taken == 10 + 1 + 3 + 1  # and one each to end


def test_every_page_is_a_walk_and_no_exit() -> None:
    measured = tlb.measure(1, True, nothing)
    assert measured.detail["pages"] >= 20 * 1024
    assert 0.9 < measured.detail["walks_a_page"] < 1.1
    assert measured.detail["exits"] <= 1


def test_the_forgetful_trace_keeps_nothing_of_a_run_that_recorded_all() -> None:
    measured = recording.measure(1, True, nothing)
    assert measured.detail["records"] >= measured.detail["exits"] > 500
    assert measured.detail["kept_by_peer"] == 0


def test_a_trace_that_is_given_is_the_one_that_is_used() -> None:
    empty = Trace(limit=1)
    assert Hosted("hvc 1", trace=empty).hypervisor.trace is empty


@pytest.mark.parametrize("clock", ["virtual", "host"])
def test_a_guest_computes_the_same_by_every_clock(clock: str, alone: None) -> None:
    measured = guest.against_qemu(clock, 1, True, nothing)  # raises where the checksum differs
    assert measured.not_run == qemu.ABSENT
    assert measured.detail["instructions"] > 20_000_000


# ── walks ──


@pytest.fixture(scope="module")
def sweep() -> walks.Sweep:
    return walks.Sweep(256)


def test_the_sweep_is_mapped_whole_in_pages(sweep: walks.Sweep) -> None:
    assert np.array_equal(sweep.ours(), sweep.vas - np.uint64(walks.VA) + np.uint64(walks.DATA))


@pytest.fixture(scope="module")
def in_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[[walks.Sweep], walks.Words]:
    compiled = walks.compile_peer(tmp_path_factory.mktemp("walk"))
    assert compiled is not None
    return compiled


@pytest.mark.needs("ziglang")
def test_c_and_the_oracle_find_the_same_addresses(
    sweep: walks.Sweep, in_c: Callable[[walks.Sweep], walks.Words]
) -> None:
    assert np.array_equal(in_c(sweep), sweep.ours())
    assert np.array_equal(sweep.naive(20), sweep.ours()[:20])


@pytest.mark.needs("ziglang")
def test_a_fault_in_c_is_no_measurement(in_c: Callable[[walks.Sweep], walks.Words]) -> None:
    broken = walks.Sweep(16)
    broken.vas[3] += np.uint64(walks.MAPPED)
    with pytest.raises(RuntimeError, match="found faults"):
        in_c(broken)


def test_without_a_compiler_or_a_checkout_there_is_no_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise ImportError

    monkeypatch.setattr(walks, "compile_peer", lambda _folder: None)
    monkeypatch.setattr(walks.Sweep, "naive", absent)
    for measure, reason in ((walks.against_c, walks.NO_COMPILER), (walks.against_python, walks.NO_ORACLE)):
        measured: Measured = measure(1, True, nothing)
        assert measured.not_run == reason
        assert measured.pairs[0][1] is None


def test_a_wrong_address_is_no_measurement(sweep: walks.Sweep) -> None:
    with pytest.raises(RuntimeError, match="not give the same addresses"):
        walks._rate(sweep.ours, sweep.ours() + np.uint64(8))


def test_the_workload_of_the_guest_and_the_bare_one_are_there() -> None:
    assert guests.path("bench").is_file() and guests.path("bench-bare").is_file()

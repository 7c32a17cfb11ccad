"""The measurements themselves, once and small: that they measure what they say, never how long it took."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from unicorn import UC_HOOK_BLOCK, Uc

from minivisor import cli, guests
from minivisor.bench import child, run, start, switch
from minivisor.bench.pairs import Measured
from minivisor.bench.peers import BareContexts, BareExits, BareGuest
from minivisor.bench.rows import ROWS
from minivisor.errors import MinivisorError


def nothing(_part: float) -> None:
    pass


# ── rows ──


@pytest.mark.parametrize("name", ["exit", "switch"])
def test_a_row_in_a_child(name: str) -> None:
    told: list[float] = []
    measured = run.measure(ROWS[name], None, True, told.append)
    assert told == [1.0]
    assert len(measured.pairs) == 1
    assert all(value is not None and value > 0 for value in measured.pairs[0][1:])
    assert measured.detail["operations"] >= 27
    assert 0.9 < measured.detail["exits_an_operation"] <= 1.0
    assert measured.detail["state_bytes_an_operation"] >= (8 if name == "exit" else switch.state_bytes())


def test_ours_and_the_peer_compute_the_same() -> None:
    measured = run.measure(ROWS["guest"], None, True, nothing)
    assert measured.detail["instructions"] > 20_000_000
    assert int(measured.detail["checksum"], 16)


def test_the_first_frame_is_the_home_screen_and_soon() -> None:
    assert child.first_frame() < 100_000_000


def test_the_state_of_a_world_switch_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert switch.state_bytes() > 1_000
    monkeypatch.setattr(switch, "REGISTERS", ("X0", "V31", "VBAR_EL1", "V0"))
    assert switch.state_bytes() == 8 + 16 + 8 + 16


# ── peers ──


def test_the_bare_guest_runs_to_its_end_with_a_checksum_of_its_rounds() -> None:
    one, two = (BareGuest(guests.path("bench-bare"), rounds) for rounds in (1, 2))
    one.run()
    two.run()
    assert 0 != one.checksum != two.checksum != 0


def test_a_bare_guest_that_stops_elsewhere_is_no_measurement() -> None:
    bare = BareGuest(guests.path("bench-bare"), 1)
    bare.uc.hook_add(UC_HOOK_BLOCK, lambda uc, *_: uc.emu_stop())
    with pytest.raises(RuntimeError, match="stopped at"):
        bare.run()


def test_the_bare_hook_is_called_for_each_exit() -> None:
    bare = BareExits()
    bare.run(10)
    bare.run(5)
    assert bare.taken == 15


def test_the_bare_contexts_are_the_whole_register_file(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = BareContexts()
    restored: list[int] = []
    monkeypatch.setattr(Uc, "context_restore", lambda _uc, context: restored.append(id(context)))
    contexts.exchange(4)
    assert contexts.size > 8_000
    assert restored[0] != restored[1]
    assert restored[:2] == restored[2:]


# ── processes ──


def test_time_runs_to_the_line_that_is_waited_for() -> None:
    early = "import time; print('early', flush=True); time.sleep(.3); print('late')"
    to_early = start.until_line([sys.executable, "-c", early], "early")
    to_late = start.until_line([sys.executable, "-c", early], "late")
    assert 0 < to_early < to_late + 0.3
    assert to_late > 0.3


@pytest.mark.parametrize("code", ["print('other')", "print('wanted'); raise SystemExit(3)"])
def test_a_process_that_fails_is_no_measurement(code: str) -> None:
    with pytest.raises(RuntimeError, match="wanted"):
        start.until_line([sys.executable, "-c", code], "wanted")


def test_peak_memory_is_the_process_s_own_and_a_peak() -> None:
    code = "from minivisor.bench.child import peak_memory; x = bytearray(80 << 20); del x; print(peak_memory())"
    ballast = b"\x01" * (200 << 20)  # of the parent: none of the child's business
    peak = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 80 << 20 < peak < 200 << 20 < len(ballast) + 1


def test_an_error_of_the_users_crosses_from_the_child_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    say = json.dumps({"error": "guest 'bench': expected bench.elf"})
    monkeypatch.setattr(run, "command", lambda *_: [sys.executable, "-c", f"print({say!r})"])
    with pytest.raises(MinivisorError, match=r"bench\.elf"):
        run.measure(ROWS["exit"], 1, True, nothing)


def test_a_child_that_dies_is_said_to_have_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "command", lambda *_: [sys.executable, "-c", "raise SystemExit(7)"])
    with pytest.raises(RuntimeError, match=r"bench exit.*status 7"):
        run.measure(ROWS["exit"], 1, True, nothing)


# ── the command ──


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int | None, bool]]]:
    """Every row takes 7 µs, its peer 3.5: too slow for most bars. What was asked for."""
    calls: list[tuple[str, int | None, bool]] = []

    def fake(row: object, rounds: int | None, quick: bool, _tell: object) -> Measured:
        calls.append((row.name, rounds, quick))  # type: ignore[attr-defined]
        return Measured([(7.0, 3.5)])

    monkeypatch.setattr(run, "measure", fake)
    yield calls


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["exit"], 0),
        (["start-warm"], 0),
        (["exit", "--check"], 0),
        (["start-warm", "--check"], 1),
        (["switch", "--check"], 0),
        (["speed"], 2),
        (["--check", "--quick"], 2),
        (["--rounds", "0"], 2),
    ],
)
def test_exit_status(arguments: list[str], status: int, asked: list[object]) -> None:
    assert cli.run(["bench", *arguments]) == status


def test_the_options_reach_the_measurement(asked: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bench", "help", "exit", "--rounds", "4", "--quick", "--json"]) == 0
    assert asked == [("exit", 4, True), ("help", 4, True)]
    read = json.loads(capsys.readouterr().out)
    assert read["quick"] is True
    assert [row["value"] for row in read["rows"]] == [7.0, 7.0]
    assert "load_average_after" in read["environment"]

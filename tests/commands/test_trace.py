"""`minivisor trace` on saved runs, and on files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minivisor import cli
from minivisor.commands.trace import DIFFERENT
from minivisor.trace.records import PolicyEvent
from minivisor.trace.store import Trace
from tests.trace.traces import made_up, real_run


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "run.trace"
    real_run().save(path)
    return path


def test_info(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["trace", "info", str(saved), "--last", "5"]) == 0
    out = capsys.readouterr().out
    trace = real_run()
    assert f"digest       {trace.digest()}" in out and f"records      {len(trace):,}" in out
    assert "share %" in out and str(trace.exits_by_class()) in out and str(trace.table(5)) in out


def test_info_tells_decisions_by_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = made_up()
    trace.policy(80, 1, PolicyEvent.SPILL, "mine", "no room", 27)
    trace.save(tmp_path / "run.trace")
    assert cli.run(["trace", "info", str(tmp_path / "run.trace")]) == 0
    words = capsys.readouterr().out.split("decision", 1)[1].split()
    assert words[-6:] == ["spill", "work", "mine", "no", "room", "1"]


def test_info_as_json(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["trace", "info", str(saved), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["digest"] == real_run().digest() and sum(facts["kinds"].values()) == facts["records"]


def test_strings_of_a_file_cannot_drive_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = made_up()
    trace.metadata = type(trace.metadata)("a\x1b[2J", "zero", 0, "minivisor", ("\x07bell", "work"))
    trace.save(tmp_path / "run.trace")
    assert cli.run(["trace", "info", str(tmp_path / "run.trace")]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out and "a\\x1b[2J" in out


def test_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, same, other = (tmp_path / name for name in ("first", "same", "other"))
    made_up().save(first)
    made_up().save(same)
    made_up(second_pc=0x2004).save(other)
    assert cli.run(["trace", "diff", str(first), str(same)]) == 0
    assert capsys.readouterr().out == "equal: one digest\n"
    assert cli.run(["trace", "diff", str(first), str(other)]) == DIFFERENT
    assert "record 10 differs in pc" in capsys.readouterr().out


def test_a_cut_is_a_trace(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    piece = tmp_path / "piece.trace"
    assert cli.run(["trace", "cut", str(saved), "--from", "100us", "--to", "600us", "-o", str(piece)]) == 0
    rows, cut = real_run().rows(), Trace.load(piece).rows()
    inside = rows[(rows["time"] >= 100_000) & (rows["time"] < 600_000)]
    assert len(inside) > 0 and (cut == inside).all()
    assert real_run().digest() in Trace.load(piece).metadata.extra["cut"]
    assert f"{len(inside):,} records" in capsys.readouterr().out


def test_export(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "run.perfetto-trace"
    assert cli.run(["trace", "export", str(saved), "-o", str(output)]) == 0
    assert f"{output.stat().st_size:,} bytes" in capsys.readouterr().out


@pytest.mark.parametrize("action", [["info"], ["export", "-o", "out"], ["cut", "-o", "out"], ["diff", "run.trace"]])
def test_a_file_that_is_no_trace_is_one_line(
    action: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.trace").write_bytes(b"MZ not a trace")
    assert cli.run(["trace", action[0], "run.trace", *action[1:]]) == 2
    err = capsys.readouterr().err
    assert err.startswith("minivisor: trace file run.trace: got a file that begins with") and err.count("\n") == 1
    assert not Path("out").exists()


def test_a_folder_that_is_not_there_is_refused_before_the_work(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["trace", "export", str(saved), "-o", "nowhere/out"]) == 2
    assert "a folder that exists" in capsys.readouterr().err

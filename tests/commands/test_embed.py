"""`minivisor embed`: a page or a picture of a saved trace, its size on the terminal, errors in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minivisor.cli import run
from minivisor.commands.embed import LIMIT
from minivisor.views import TRACED, Timeline
from tests.trace.traces import real_run


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traces") / "run.trace"
    real_run().save(path)
    return path


@pytest.mark.parametrize("name", TRACED)
def test_a_page_of_each_diagram_fits_and_its_size_is_printed(
    name: str, trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert run(["embed", str(trace), "--diagram", name, "-o", str(page)]) == 0
    size = page.stat().st_size
    said = capsys.readouterr().out
    assert f"{page}: " in said and f" records, {size:,} bytes" in said and '<iframe src="page.html"' in said
    assert f'<minivisor-view name="{name}">' in page.read_text(encoding="utf-8") and size <= LIMIT


def test_a_diagram_may_be_called_by_its_title(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a saved run has its first switches, or none if it was told to keep none."""
    for kept, words in ((32, "registers saved and loaded"), (0, "No world switch")):
        trace, page = tmp_path / f"{kept}.trace", tmp_path / f"{kept}.html"
        options = ["--slice", "100us", "--cost-model", "kvm-arm-2016", "--registers", str(kept)]
        assert run(["phone", "--headless", "--for", "2ms", *options, "--trace", str(trace)]) == 0
        assert run(["embed", str(trace), "--diagram", "world-switch", "-o", str(page)]) == 0
        assert words in page.read_text(encoding="utf-8").partition("</p><script")[0] and page.stat().st_size <= LIMIT
    capsys.readouterr()


def test_a_window_carries_its_records_only(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--from", "5ms", "--to", "15ms", "-o", str(tmp_path / "page.html")]
    assert run(["embed", str(trace), "--diagram", "timeline", *options]) == 0
    rows = real_run().rows()
    times = rows["time"][np.isin(rows["kind"], Timeline.kinds)]
    assert f": {((times >= 5_000_000) & (times < 15_000_000)).sum():,} records, " in capsys.readouterr().out


def test_a_picture(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["embed", str(trace), "--diagram", "timeline", "--svg", "-o", str(tmp_path / "picture.svg")]) == 0
    assert (
        (tmp_path / "picture.svg").read_text(encoding="utf-8").startswith("<!-- Drawn by the minivisor view modules.")
    )
    assert "iframe" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run.trace", "--diagram", "pie"], "--diagram: got pie, expected timeline"),
        (["none.trace", "--diagram", "timeline"], "cannot read"),
        (["page.txt", "--diagram", "timeline"], "expected a trace"),
        (["run.trace", "--diagram", "timeline", "--guest", "page.txt"], "expected an ELF file"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str], words: str, trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.trace").write_bytes(trace.read_bytes())
    (tmp_path / "page.txt").write_text("hello " * 20)
    given = [str(tmp_path / word) if "." in word else word for word in arguments]
    assert run(["embed", *given, "-o", str(tmp_path / "out.html")]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "out.html").exists()

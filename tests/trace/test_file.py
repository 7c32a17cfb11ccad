"""Trace files: a round trip, and nothing but TraceError for every file that is not one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minivisor.errors import TraceError
from minivisor.trace import file, records
from minivisor.trace.file import VERSION, Metadata
from minivisor.trace.store import CHUNK, Trace

METADATA = Metadata("a", "zero", 7, "minivisor", ("personal", "work"), {"slice": "10 ms"})
on_one_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)


def sample(count: int = 40, limit: int = 500_000) -> Trace:
    trace = Trace(METADATA, limit)
    for number in range(count):
        trace.exit(number, number % 2, number, 4 * number, 0x5A000000, outcome=1, host=number)
    trace.irq(count, 0, records.IrqEvent.RAISED, 27)
    trace.stop(count, 1, records.StopReason.HANDLER, "said so — ☎")
    return trace


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run.trace"
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def forge(
    target: Path, change: dict[str, Any] | None = None, rows: records.Rows | None = None, body: bytes = b""
) -> None:
    """A file with a right checksum, whatever it says: its header changed, its rows or its whole header replaced."""
    trace = sample()
    rows = trace.rows() if rows is None else rows
    document = file.Document(METADATA, rows, 0, tuple(trace.texts), trace.digest())
    packed = file.pack(document)
    length = int.from_bytes(packed[12:16], "little")
    header = {**json.loads(packed[file.START : file.START + length]), **(change or {})}
    body = body or json.dumps(header).encode()
    rest = body + packed[file.START + length :]
    prefix = file.PREFIX.pack(file.MAGIC, file.VERSION, len(body))
    target.write_bytes(prefix + file.checksum(prefix, rest) + rest)


def refused(target: Path, match: str = "trace file") -> None:
    with pytest.raises(TraceError, match=match) as caught:
        Trace.load(target)
    assert "\n" not in str(caught.value)
    assert str(target) in str(caught.value)


def test_a_saved_trace_loads_as_it_was(path: Path) -> None:
    trace = sample()
    trace.save(path)
    loaded = Trace.load(path)
    assert list(loaded) == list(trace)
    assert np.array_equal(loaded.rows()["host"], trace.rows()["host"])
    assert (loaded.digest(), loaded.metadata, loaded.texts) == (trace.digest(), METADATA, trace.texts)
    assert (len(loaded), loaded.lost, loaded.total) == (len(trace), 0, len(trace))
    loaded.save(path)
    assert Trace.load(path).digest() == trace.digest()


def test_an_empty_trace_and_one_that_lost_records_survive_too(path: Path) -> None:
    Trace().save(path)
    assert len(Trace.load(path)) == 0
    lossy = sample(3 * CHUNK, limit=1)
    lossy.save(str(path))
    loaded = Trace.load(str(path))
    assert (loaded.lost, loaded.total, loaded.digest()) == (lossy.lost, lossy.total, lossy.digest())
    assert loaded[-1] == lossy[-1]
    assert len(loaded.rows(loaded.total - 2)) == 2


def test_a_loaded_trace_is_a_document(path: Path) -> None:
    sample().save(path)
    loaded = Trace.load(path)
    with pytest.raises(TypeError, match="document"):
        loaded.foreground(1, 0)
    with pytest.raises(TypeError, match="document"):
        loaded.stop(1, 0, 0, "more")
    assert loaded.texts == sample().texts


def test_saving_replaces_a_file_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample(3).save(path)
    before = path.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(TraceError, match="No space left"):
        sample(5).save(path)
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot write"):
        sample(1).save(tmp_path / "no" / "such" / "folder")
    refused(tmp_path / "absent", "cannot read: No such file")
    refused(tmp_path, "no regular file")
    with pytest.raises(TraceError, match="cannot read"):
        Trace.load("a\0b")


def test_a_file_of_another_kind_or_version(path: Path) -> None:
    for content in (b"", b"\x89MV", b"\x7fELF" + bytes(200), b'{"not": "a trace"}'):
        path.write_bytes(content)
        refused(path, "which begins with")
    sample().save(path)
    altered = bytearray(path.read_bytes())
    altered[8] = VERSION + 1
    path.write_bytes(altered)
    refused(path, f"got version {VERSION + 1}, expected version {VERSION}")


def test_a_truncated_file_at_every_length(path: Path) -> None:
    sample(2).save(path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refused(path)
    path.write_bytes(content + b"\0")
    refused(path, "checksum")


def test_a_header_length_that_lies(path: Path) -> None:
    sample().save(path)
    content = bytearray(path.read_bytes())
    content[12:16] = (0xFFFFFFFF).to_bytes(4, "little")
    path.write_bytes(content)
    refused(path, "a header of 4,294,967,295 bytes")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"records": 41}, "41 records in 3,360 bytes"),
        ({"records": 1 << 47}, "records in 3,360 bytes"),
        ({"records": 1 << 80}, "'records' = 12089"),
        ({"records": -1}, "'records' = -1"),
        ({"records": True}, "'records' = True"),
        ({"records": 42.0}, r"'records' = 42\.0"),
        ({"lost": "none"}, "'lost' = 'none'"),
        ({"log": 1}, "42 records in 3,360 bytes"),
        ({"log": -1}, "'log' = -1"),
        ({"records": 41, "log": 1}, "unknown"),
        ({"log_lost": 1}, "a log of 0 records that were lost"),
        ({"digest": "0" * 32}, "digest 0000"),
        ({"digest": "x" * 32}, "'digest' = 'xxx"),
        ({"columns": [["time", "<u8"]]}, "the columns of this version"),
        ({"texts": [3]}, "a list of texts"),
        ({"texts": []}, "a STOP record without its text"),
        ({"texts": ["other words"]}, "that of its records"),
        ({"metadata": []}, "'metadata' = "),
        ({"metadata": {"board": "a"}}, "metadata {'board'"),
    ],
)
def test_a_header_that_lies_under_a_right_checksum(path: Path, change: dict[str, Any], match: str) -> None:
    forge(path)
    assert len(Trace.load(path)) == 42
    forge(path, change)
    refused(path, match)


BODIES = [b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"records": ' + b"9" * 5000 + b"}"]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: f"{body[:12]!r}")
def test_a_header_that_is_not_the_json_it_should_be(path: Path, body: bytes) -> None:
    forge(path, body=body)
    refused(path, "header")


@pytest.mark.parametrize(("column", "value", "match"), [("kind", 99, "unknown kind 99"), ("detail", 200, "unknown")])
def test_rows_that_no_reader_could_decode(path: Path, column: str, value: int, match: str) -> None:
    for at in (0, 40, 41):
        rows = sample().rows()
        rows[column][at] = value
        forge(path, rows=rows)
        refused(path, match)


@given(st.data())
@on_one_path
def test_a_mutated_file_gives_a_trace_error_and_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    target = tmp_path / "mutated.trace"
    sample(4).save(target)
    content = bytearray(target.read_bytes())
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(1, 255)), min_size=1)):
        content[at] ^= byte
    cut = data.draw(st.integers(0, 64))
    target.write_bytes(bytes(content[: len(content) - cut]) + data.draw(st.binary(max_size=8)))
    try:
        loaded = Trace.load(target)
    except TraceError as error:
        assert "\n" not in str(error)
    else:
        assert loaded.digest() == sample(4).digest()  # the mutations cancelled each other


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(sorted(file._HEADER)), json_values),
    st.dictionaries(st.sampled_from(["board", "seed", "mmu", "personas", "extra"]), json_values),
)
@on_one_path
def test_a_forged_header_gives_a_trace_error_or_a_trace_that_reads(
    tmp_path: Path, change: dict[str, Any], inner: dict[str, Any]
) -> None:
    target = tmp_path / "forged.trace"
    metadata = {"board": "", "cost_model": "", "seed": 0, "mmu": "", "personas": [], "extra": {}, **inner}
    forge(target, {"metadata": metadata, **change})
    read_it_all(target)


@given(st.integers(0, 41), st.binary(min_size=80, max_size=80), st.integers(0, 12), st.integers(0, 7), st.booleans())
@on_one_path
def test_a_forged_row_gives_a_trace_error_or_a_trace_that_reads(
    tmp_path: Path, at: int, row: bytes, kind: int, detail: int, lossy: bool
) -> None:
    target = tmp_path / "forged.trace"
    rows = sample().rows()
    rows[at] = np.frombuffer(row, records.DTYPE)[0]
    rows["kind"][at], rows["detail"][at], rows["outcome"][at] = kind, detail, detail
    forge(target, {"lost": int(lossy)}, rows)  # a digest over lost records cannot be checked, so the rows are read
    read_it_all(target)


def read_it_all(target: Path) -> None:
    """Either a TraceError, or every reader works."""
    try:
        trace = Trace.load(target)
    except TraceError:
        return
    assert len(list(trace)) == len(trace)
    assert str(trace.table(1000))
    assert str(trace.exits_by_class())
    assert trace._repr_html_()
    assert trace.metadata.name(0)

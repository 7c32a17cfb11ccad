"""Machine code that is kept: a warm start needs no compiler, and nothing that may lie in the cache does any harm."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minivisor
from minivisor import guests
from minivisor.machine import core, object_code

ROOT = Path(minivisor.__file__).parent
RUN = """
import sys
from minivisor.commands.run import command
command([sys.argv[1], "--headless", "--json"], standalone_mode=False)
print([name for name in ("numba", "cffi", "pycparser") if name in sys.modules], file=sys.stderr)
"""
TINY = """
import sys
import numpy as np
from minivisor.machine import hot, object_code, tlb
from minivisor.machine.state import CORE

modules = "code_pages", "tlb"
object_code.SHARES = {"tiny": tuple((name,) for name in modules)}
object_code.UNIT_OF = {"minivisor.machine." + name: "tiny" for name in modules}
state = np.zeros(1, CORE)
state["tlb_context"][:] = 7
tlb.forget_all(hot.share(state))
print(int(state["tlb_context"].sum()), "numba" in sys.modules)
"""
"""A unit of two small modules, in place of the one that takes a while."""
GOOD = "0 False\n"


def start(*arguments: str, cwd: Path = ROOT.parent, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", *arguments]
    environment = os.environ | {"PYTHONPATH": str(cwd)} | environment
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def outcome(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=170)
    assert process.returncode == 0, err
    return out, err


def clone(folder: Path) -> Path:
    """The same sources somewhere else."""
    shutil.copytree(ROOT, folder / "minivisor", ignore=shutil.ignore_patterns("*.elf", "__pycache__"))
    return folder


def test_a_warm_start_has_no_compiler_in_it() -> None:
    assert core.run.address  # warm, from here on
    _out, err = outcome(start(RUN, str(guests.path("hello"))))
    assert err.splitlines()[-1] == "[]"


def test_two_cold_starts_at_once_a_clone_of_the_sources_and_a_damaged_file(tmp_path: Path) -> None:
    """All on one cache, because each compiling takes its seconds."""
    cache = {"MINIVISOR_CACHE": str(tmp_path)}
    assert [outcome(both)[0] for both in [start(TINY, **cache), start(TINY, **cache)]] == [GOOD, GOOD]
    (kept,) = tmp_path.rglob("*.*")
    before = kept.read_bytes()
    assert outcome(start(TINY, cwd=clone(tmp_path / "clone"), **cache)) == (GOOD, "")
    assert [path for path in tmp_path.rglob("*.code") if path != kept] == [] and kept.read_bytes() == before
    kept.write_bytes(before[:-1] + bytes((before[-1] ^ 1,)))
    alone = "import sys; sys.executable = ''" + TINY  # nobody there to compile for it
    assert outcome(start(alone, **cache))[0] == "0 True\n"
    assert outcome(start(TINY, **cache)) == (GOOD, "")


def test_what_is_not_whole_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_code, "_place", lambda: tmp_path)
    monkeypatch.setattr(object_code, "folder", object_code.folder.__wrapped__)
    symbols, pieces = ["a", "b"], [b"one\n", b"", b"three"]
    object_code._keep("unit", symbols, pieces)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    assert object_code._kept("unit") == (symbols, pieces)
    for damaged in (whole[:-1], whole[:70], b"", b"\n", b"not ours", whole.replace(b"three", b"thref"), whole + b"\n"):
        path.write_bytes(damaged)
        assert object_code._kept("unit") is None, damaged
    path.unlink()
    assert object_code._kept("unit") is None


def test_a_home_that_is_read_only_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "written").mkdir()
    monkeypatch.setattr(object_code, "_place", lambda: tmp_path / "home")
    monkeypatch.setattr(object_code, "folder", lambda: tmp_path / "written")
    object_code._keep("unit", ["a"], [b"code"])
    assert object_code._kept("unit") is None
    (tmp_path / "written").rename(tmp_path / "home")
    assert object_code._kept("unit") == (["a"], [b"code"])


def test_machine_code_asks_for_nothing_that_only_a_compiler_has() -> None:
    """Neither the interpreter nor Numba's own functions: LLVM sees that nothing fails, and drops what they were for."""
    assert core.run.address
    _symbols, pieces = object_code._kept("core") or ([], [])
    names = {name for piece in pieces for name in piece.split(b"\0")}
    assert b"minivisor.machine.run.run" in {name.removeprefix(b"_") for name in names}
    assert [name for name in names if name.lstrip(b"_").startswith((b"Py", b"NRT_", b"numba_"))] == []


def test_another_processor_or_compiler_has_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    rest = object_code._rest.__wrapped__
    names = {rest()}
    monkeypatch.setattr(object_code, "_processor", lambda: ("another", "+abacus"))
    names.add(rest())
    monkeypatch.setattr(object_code.llvmlite, "__version__", "0.0")
    assert len(names | {rest()}) == 3


def test_every_entry_point_is_in_a_unit() -> None:
    """Of the machine's: one that is not would be compiled again at each start."""
    sources = {path.stem: path.read_text() for path in (ROOT / "machine").glob("*.py")}
    having = {name for name, text in sources.items() if "\n@callback(" in text or "\n@entry(" in text}
    assert {f"minivisor.machine.{name}" for name in having} == set(object_code.UNIT_OF)


@pytest.mark.skipif("CI" not in os.environ, reason="compiles everything: half a minute")
def test_a_cold_run_is_the_same_run(tmp_path: Path) -> None:
    """From nothing, from what that left behind, and interpreted."""
    cache = {"MINIVISOR_CACHE": str(tmp_path)}
    hello = str(guests.path("hello"))
    told = [outcome(start(RUN, hello, **cache))[0], outcome(start(RUN, hello, **cache))[0]]
    told.append(outcome(start(RUN, hello, MINIVISOR_JIT="0"))[0])
    assert len({json.loads(said)["digest"] for said in told}) == 1

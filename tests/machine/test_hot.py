"""One source, two speeds: compiled and interpreted agree, what Numba keeps is never stale, and nothing is lost on the way."""

from __future__ import annotations

import ast
import gc
import os
import pathlib
import shutil
import subprocess
import sys
import weakref

import pytest

import minivisor
from minivisor.machine import hot, object_code
from minivisor.machine.board import Machine
from minivisor.machine.state import TLB_SETS, TLB_WAYS

ROOT = pathlib.Path(minivisor.__file__).parent
MACHINE = ROOT / "machine"


def python(*arguments: str, cwd: pathlib.Path = ROOT.parent, **environment: str) -> str:
    """What a child process prints. Warnings are errors there too."""
    command = [sys.executable, "-W", "error", *arguments]
    result = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


# ── two speeds ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_primitive_does_the_same_compiled_and_interpreted() -> None:
    compiled, interpreted = (python("-m", "tests.machine.hot_primitives", MINIVISOR_JIT=jit) for jit in "10")
    assert compiled == interpreted
    lines = compiled.splitlines()
    assert lines[0].startswith("['0xffffffff80000001', '0x80000001', '0x8000000112345678']")
    assert lines[1] == "['0xffffffffffffffff', '0x4', '0xfffffffffffffffd', '0xf']"
    assert lines[2].startswith("[18446744073709551609, ")
    assert lines[3] == "['0x10e1', '0x10d1', '0x100000006']"


def test_a_guest_does_the_same_compiled_and_interpreted_on_both_engines() -> None:
    told = {
        (mmu, jit): python("-m", "tests.machine.one_guest", mmu, MINIVISOR_JIT=jit) for mmu in ENGINES for jit in "10"
    }
    assert len(told["minivisor", "1"].splitlines()) == 4
    assert told["minivisor", "1"] == told["minivisor", "0"]
    assert told["unicorn", "1"] == told["unicorn", "0"]
    # The stale load (X4) is ours to show every time; Unicorn's own TLB agrees as long as it has kept the entry.
    assert told["minivisor", "1"] == told["unicorn", "1"]


ENGINES = ("minivisor", "unicorn")
RAISES = """
import pytest
from minivisor.machine import hooks, hot
from tests.machine import a64
from tests.machine.rig import Rig

@hot.callback("void", "u64")
def fails(number):
    raise LookupError(f"number {number}")

hot.call(fails.address, 7, 0, 0, 0, 0)
with pytest.raises(LookupError, match="number 7"):
    hot.check_callbacks()
hot.check_callbacks()  # told once

def broken(core, va, kind):
    raise ZeroDivisionError("in the middle of a fill")

rig = Rig()
rig.start(a64.NOP, a64.HVC(1))
hooks._resolve = broken
with pytest.raises(ZeroDivisionError, match="in the middle"):
    rig.core.run()
print("surfaced")
"""


def test_an_exception_in_an_interpreted_callback_surfaces() -> None:
    assert python("-c", RAISES, MINIVISOR_JIT="0") == "surfaced\n"


def test_what_numba_starts_with_is_never_searched_for_garbage() -> None:
    """A million objects that stay; and whoever does not want the collector at all is not given it back."""
    code = "import gc; gc.disable(); import minivisor.machine.compiler; print(gc.isenabled(), gc.get_freeze_count() > 30_000)"
    assert python("-c", code) == "False True\n"


ASKED_TWICE = """
import numpy as np
from minivisor.machine import compiler, hot

@hot.hot
def above(word, low):
    return word >> np.uint64(low)

@hot.entry("u64", "u64")
def both(word):
    return above(word, 5) + above(word, 7)

compiler.compile_entries([both])
print([str(kind) for arguments in compiler._inner(above).overloads for kind in arguments])
"""


def test_a_number_that_is_written_down_has_no_function_compiled_for_it() -> None:
    assert python("-c", ASKED_TWICE) == "['uint64', 'int64']\n"


def test_this_process_is_compiled() -> None:
    assert hot.JIT
    assert isinstance(hot.hot(lambda: None), hot.Hot)


# ── the cache ────────────────────────────────────────────────────────────────────────────────────────────────────────

SET_OF = """
import numpy as np
from minivisor.machine.tlb import _set_of
print(max(int(_set_of(np.uint64(page), np.uint64(12))) for page in range(5000)))
"""


def test_an_edited_constant_is_never_served_stale(tmp_path: pathlib.Path) -> None:
    """The constant is in one file, the compiled function in another that did not change."""
    shutil.copytree(ROOT, tmp_path / "minivisor", ignore=shutil.ignore_patterns("*.elf", "__pycache__"))
    state = tmp_path / "minivisor" / "machine" / "state.py"
    cache = str(tmp_path / "cache")
    first = int(python("-c", SET_OF, cwd=tmp_path, MINIVISOR_CACHE=cache))
    assert first == (TLB_SETS - 1) * TLB_WAYS
    assert int(python("-c", SET_OF, cwd=tmp_path, MINIVISOR_CACHE=cache)) == first
    kept = set((tmp_path / "cache" / "minivisor").iterdir())
    assert len(kept) == 1
    assert list(next(iter(kept)).rglob("*.nbc"))
    text = state.read_text()
    now = f"TLB_SETS, TLB_WAYS = {TLB_SETS}, {TLB_WAYS}"
    assert now in text
    state.write_text(text.replace(now, "TLB_SETS, TLB_WAYS = 256, 16"))
    assert int(python("-c", SET_OF, cwd=tmp_path, MINIVISOR_CACHE=cache)) == 255 * 16
    assert len(set((tmp_path / "cache" / "minivisor").iterdir())) == 2


def test_hot_sources_depend_only_on_hot_sources() -> None:
    """What keys the cache is the hash of all modules that use `hot`: none of their constants may come from elsewhere."""
    sources = {path.stem: path.read_text() for path in MACHINE.glob("*.py")}
    hot_sources = {name for name, text in sources.items() if "minivisor.machine.hot" in text} | {"hot"}
    decorated = {name for name, text in sources.items() if any(mark in text for mark in ("@hot\n", "@callback(", "@entry("))}
    assert decorated <= hot_sources
    # Hashed too; and what only the part of a module uses that is not compiled: exceptions, and the engine's set-up.
    others = {"minivisor." + path.removesuffix(".py").replace("/", ".") for path in object_code.ALSO}
    others |= {f"minivisor.machine.{name}" for name in hot_sources | {"engine", "core", "pl011"}} | {"minivisor.errors"}
    others |= {f"minivisor.{name}" for name in ("arch.descriptors", "arch.esr", "trace.store", "trace.table")}
    for name in decorated:
        for node in ast.walk(ast.parse(sources[name])):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("minivisor"):
                package = node.module == "minivisor.machine"
                modules = {f"{node.module}.{alias.name}" for alias in node.names} if package else {node.module}
                assert modules <= others, (name, modules)


def test_a_cache_that_cannot_be_written_is_no_failure() -> None:
    assert python("-c", SET_OF, MINIVISOR_CACHE="/dev/null/nowhere") == f"{(TLB_SETS - 1) * TLB_WAYS}\n"


def test_the_cache_is_not_imposed_on_others() -> None:
    """Neither on a child process, which may have other sources, nor on other users of Numba in this one."""
    code = "import os, numba; before = numba.config.CACHE_DIR; from minivisor.machine.walk import _shift; _shift(3); "
    code += "print(numba.config.CACHE_DIR == before, 'NUMBA_CACHE_DIR' in os.environ)"
    assert python("-c", code) == "True False\n"


def test_nothing_else_configures_numba() -> None:
    users = [path for path in ROOT.rglob("*.py") if path.name != "compiler.py" and "numba" in _imports(path)]
    assert users == []


def _imports(path: pathlib.Path) -> set[str]:
    tree = ast.parse(path.read_text())
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return {name.split(".")[0] for name in plain} | {
        (node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }


# ── lifetime ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mmu", ENGINES)
def test_a_machine_that_nobody_holds_gives_its_memory_back(mmu: str) -> None:
    """A grader makes hundreds in one process."""
    machine = Machine("a", mmu)
    machine.memory.write(machine.memory.base, 0xD4000022)  # hvc #1
    machine.core.write("PSTATE", 0x3C5)
    machine.core.write("PC", machine.memory.base)
    machine.core.run(machine.core.now + 1000)
    gone = [weakref.ref(part) for part in (machine.memory.words, machine.core.state, machine.core.uc)]
    del machine
    gc.collect()
    assert [reference() is None for reference in gone] == [True, True, True]

"""Machine code of entry points, kept from one start to the next and loaded without Numba.

The entries of some modules belong together, a unit: whoever needs one needs them all. A unit is one file in the cache:

    <cache>/minivisor/<hash of the hot sources>/<unit>-<hash of the rest>.code

    checksum of all that follows, in hex ⏎ {"symbols": […], "sizes": […]} ⏎ object code, one piece after the other

The rest is what else decides about machine code: the versions of Numba and LLVM, and the processor. So no edit can leave old
code behind, a second clone of the same sources finds what the first compiled, and a home that two machines share does not mix
them up. A file that is damaged, or somebody else's, is not looked at twice: the unit is compiled again. A file appears whole or
not at all, so two that start at once both work, and the later one's stays.

What must be compiled is compiled by processes that are there for nothing else, one for each share of the unit and all at once,
as far as there are cores; where that cannot be had, by this one.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from minivisor.machine import hot

__all__ = ["ALSO", "SHARES", "address_of", "folder", "is_kept", "target_machine"]

ALSO = ("arch/encoding.py", "trace/kinds.py", "trace/row.py")
"""Other sources whose constants end up in compiled code."""
HERE = ("hot.py", "compiler.py", "object_code.py")

PACKAGE = "minivisor.machine."
SHARES: dict[str, tuple[tuple[str, ...], ...]] = {
    "core": (("run", "watch"), ("hooks", "system", "gicv", "tlb", "code_pages")),
    "steps": (("steps",),),
    "table_log": (("table_log",),),
}
"""Unit -> modules, in shares that take about as long to compile as each other."""
UNIT_OF = {PACKAGE + name: unit for unit, shares in SHARES.items() for share in shares for name in share}

_lock = threading.RLock()
_addresses: dict[str, int] = {}
_engines: list[Any] = []  # own the code


def address_of(entry: hot.Entry) -> int:
    """Where an entry's machine code is; loaded with its unit, or compiled, when the first of it is wanted."""
    with _lock:
        if entry.symbol not in _addresses:
            unit = UNIT_OF.get(entry.module)
            if unit is None:  # somebody else's, and not ours to keep
                symbols, pieces = list(hot.ENTRIES[entry.module]), [_compile_here([entry.module])]
            else:
                symbols, pieces = _kept(unit) or _made(unit)
            _load(symbols, pieces)
        return _addresses[entry.symbol]


def is_kept(unit: str = "core") -> bool:
    """Is the unit compiled already?"""
    return not hot.JIT or _kept(unit) is not None


def _load(symbols: list[str], pieces: list[bytes]) -> None:
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
    for piece in pieces:
        engine.add_object_file(llvm.ObjectFileRef.from_data(piece))
    engine.finalize_object()
    _engines.append(engine)
    _addresses.update((symbol, engine.get_function_address(symbol)) for symbol in symbols)


@functools.cache
def target_machine() -> Any:
    """This very processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    # Code that stays where it was loaded: LLVM's JIT on x86 knows no other relocation.
    relocation = "static" if target.name.startswith("x86") else "default"
    name, features = _processor()
    return target.create_target_machine(name, features, 3, relocation, "jitdefault", jit=True)


def _processor() -> tuple[str, str]:
    try:
        return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # LLVM cannot say on this system
        return llvm.get_host_cpu_name(), ""


# ── what is kept, and where ──────────────────────────────────────────────────────────────────────────────────────────


@functools.cache
def _place() -> Path:
    """Where compiled code is kept: per user, keyed by the sources, so that no edit can leave a stale caller behind."""
    here = Path(__file__).parent
    texts = {path: path.read_bytes() for path in sorted(here.glob("*.py"))}
    sources = [text for path, text in texts.items() if b"minivisor.machine.hot" in text or path.name in HERE]
    sources += [(here.parent / other).read_bytes() for other in ALSO]
    digest = hashlib.blake2b(b"".join(sources), digest_size=8).hexdigest()
    home = os.environ.get("MINIVISOR_CACHE") or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "minivisor" / digest


@functools.cache
def folder() -> Path:
    """That, to be written to; where it cannot be, a folder of this process."""
    try:
        _place().mkdir(parents=True, exist_ok=True)
        if os.access(_place(), os.W_OK):
            return _place()
    except OSError:
        pass
    temporary = tempfile.mkdtemp(prefix="minivisor-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Path(temporary)


@functools.cache
def _rest() -> str:
    """All but the sources that decides about machine code. Numba's version is read without importing it."""
    found = importlib.util.find_spec("numba")
    assert found is not None and found.origin is not None
    version = (Path(found.origin).parent / "_version.py").read_text(encoding="utf-8")
    known = version, llvmlite.__version__, llvm.get_process_triple(), *_processor()
    return hashlib.blake2b("\n".join(known).encode(), digest_size=8).hexdigest()


def _name(unit: str) -> str:
    return f"{unit}-{_rest()}.code"


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=32).hexdigest().encode()


def _kept(unit: str) -> tuple[list[str], list[bytes]] | None:
    """(symbols, pieces of object code) of a unit from an earlier start, or None."""
    try:
        checksum, content = (_place() / _name(unit)).read_bytes().split(b"\n", 1)
    except (OSError, ValueError):
        return None
    if checksum != _checksum(content):
        return None
    head, objects = content.split(b"\n", 1)
    told, pieces, at = json.loads(head), [], 0
    for size in told["sizes"]:
        pieces.append(objects[at : at + size])
        at += size
    return told["symbols"], pieces


def _keep(unit: str, symbols: list[str], pieces: list[bytes]) -> None:
    head = json.dumps({"symbols": symbols, "sizes": [len(piece) for piece in pieces]}).encode()
    content = b"\n".join((head, b"".join(pieces)))
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=folder()) as private:  # the disk may be full
        whole = Path(private) / "code"
        whole.write_bytes(b"\n".join((_checksum(content), content)))
        os.replace(whole, folder() / _name(unit))


# ── compiling ────────────────────────────────────────────────────────────────────────────────────────────────────────

# Isolated (-I): what lies in the current folder under the name of a module of the library is not that.
CHILD = "import json, sys; sys.path[:], modules, out = json.loads(sys.argv[1]); "
CHILD += "from minivisor.machine.compiler import compile_to; compile_to(modules, out)"
ALONE = {"NUMBA_OPT": "0", "NUMBA_DISABLE_JIT": "0", "MINIVISOR_JIT": "1"}
"""What a compiling process is told: `compiler.py` optimizes by itself."""


def _made(unit: str) -> tuple[list[str], list[bytes]]:
    """Compile a unit, and keep it."""
    shares = [[PACKAGE + name for name in share] for share in SHARES[unit]]
    modules = [module for share in shares for module in share]
    if len(shares) > (os.cpu_count() or 1):
        shares = [modules]
    pieces = _compiled_by_others(shares) or [_compile_here(modules)]
    for module in modules:
        importlib.import_module(module)
    symbols = [symbol for module in modules for symbol in hot.ENTRIES[module]]
    _keep(unit, symbols, pieces)
    return symbols, pieces


def _compile_here(modules: Iterable[str]) -> bytes:
    from minivisor.machine.compiler import compile_entries  # Numba: imported by those who must compile only

    for module in modules:
        importlib.import_module(module)
    return compile_entries([entry for module in modules for entry in hot.ENTRIES[module].values()])


def _compiled_by_others(shares: list[list[str]]) -> list[bytes] | None:
    """Object code of each share, made by a process of its own; None where one did not come back with it."""
    if not sys.executable:
        return None
    with contextlib.ExitStack() as stack:
        try:
            private = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="minivisor-")))
            out = [private / str(number) for number in range(len(shares))]
            processes = [_start(stack, share, path) for share, path in zip(shares, out, strict=True)]
            if any(process.wait() for process in processes):
                return None
            return [path.read_bytes() for path in out]
        except OSError:
            return None


def _start(stack: contextlib.ExitStack, modules: list[str], out: Path) -> subprocess.Popen[bytes]:
    told = json.dumps([[*map(str, sys.path)], modules, str(out)])
    null = subprocess.DEVNULL
    command, environment = [sys.executable, "-I", "-c", CHILD, told], os.environ | ALONE
    process = stack.enter_context(subprocess.Popen(command, env=environment, stdin=null, stdout=null, stderr=null))
    stack.callback(process.kill)  # whatever happens here, nobody goes on compiling
    return process

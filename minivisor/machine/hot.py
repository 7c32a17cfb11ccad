"""One source, two speeds: what hot functions are made of, and how the same source runs without a compiler.

A hot function is ordinary Python over integers, NumPy arrays and one record. `@hot` marks it for Numba; `@callback` gives it a
C function's way of being called, with an address that Unicorn calls without the interpreter; `@entry` is the same for those
that Python calls. With MINIVISOR_JIT=0 the very same source runs as plain Python, so that one can step through a page-table
walk with a debugger. Both leave the same trace.

Nothing is compiled here, and Numba is not imported: that is a third of a second which most starts do not need. A decorated
function is a handle. Only when machine code is wanted that is not kept from an earlier start (`object_code.py`) does
`compiler.py` turn handles into what Numba understands.

A few primitives have two bodies, because no common source exists for them: a raw load, a raw store, a call by address, a
record and an array at an address. Here is what they do interpreted; `compiler.py` has the other body of each, and
`tests/machine/test_hot.py` runs each against the other.

    compiled                               interpreted
    llvm load / store                      ctypes.from_address
    llvm call through inttoptr             ctypes function pointer
    record or array over a raw pointer     a dictionary from address to the array that lives there

Facts this module lives by (measured; see the test beside each):
  * a ctypes function named inside compiled code is an address of this process: addresses are data, never constants;
  * uint64 mixed with a Python int literal becomes int64: every constant in hot code is np.uint64;
  * interpreted, np.uint64 arithmetic warns where hardware wraps: the interpreted process ignores it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = [
    "ENTRIES",
    "JIT",
    "Entry",
    "Hot",
    "Records",
    "array_at",
    "call",
    "callback",
    "check_callbacks",
    "entry",
    "hot",
    "hot_inline",
    "hot_parallel",
    "load32",
    "load64",
    "on_cores",
    "prange",
    "record_at",
    "share",
    "span",
    "store64",
]

JIT = os.environ.get("MINIVISOR_JIT", "1") != "0"
"""False when hot sources run interpreted."""

if not JIT:
    np.seterr(over="ignore")  # hardware wraps silently, and so does hot code; for the whole process, it is asked for by name


# ── functions ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Hot:
    """A function that is compiled where it is used. options: Numba's. Called from Python, which only tests and batches do,
    it is compiled for that, kept by Numba."""

    def __init__(self, function: Callable[..., Any], **options: bool) -> None:
        functools.update_wrapper(self, function)
        self.function, self.options = function, options

    def __call__(self, *arguments: Any) -> Any:
        from minivisor.machine.compiler import dispatcher  # Numba: imported by those who must compile only

        return dispatcher(self)(*arguments)


def hot(function: Callable[..., Any]) -> Callable[..., Any]:
    """To be compiled; nothing in it may need the interpreter."""
    return Hot(function) if JIT else function


def hot_inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, compiled into each of its callers: the walk's small steps cost nothing (a fifth of its time otherwise)."""
    return Hot(function, forceinline=True) if JIT else function


def hot_parallel(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, its `prange` loops shared out over all cores: iterations in any order. From one thread at a time."""
    return Hot(function, parallel=True) if JIT else function


@contextlib.contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Within it the `prange` loops of this thread use so many cores; interpreted there is one anyway."""
    if not JIT:
        yield
        return
    from minivisor.machine import compiler  # as above

    with compiler.on_cores(count):
        yield


# ── entry points ─────────────────────────────────────────────────────────────────────────────────────────────────────

CTYPES: dict[str, Any] = {"u64": ctypes.c_uint64, "u32": ctypes.c_uint32, "void": None}
_failures: list[BaseException] = []


class Entry:
    """A function that is called as C's are: by others at `.address`, from Python with integers, without the interpreter's lock.

    types: of the result and of the arguments, "u64", "u32" or "void".
    """

    def __init__(self, function: Callable[..., Any], types: tuple[str, ...]) -> None:
        functools.update_wrapper(self, function)
        self.function, self.types, self.module = function, types, function.__module__
        self.symbol = f"{function.__module__}.{function.__qualname__}"

    @functools.cached_property
    def address(self) -> int:
        from minivisor.machine.object_code import address_of  # which knows this module

        return address_of(self)

    @functools.cached_property
    def _pointer(self) -> Any:
        return _prototype(self.types)(self.address)

    def __call__(self, *arguments: int) -> Any:
        return self._pointer(*arguments)


class Interpreted(Entry):
    """Interpreted. No exception can cross C: it is kept, and `check_callbacks` raises it after the engine returned."""

    @functools.cached_property
    def address(self) -> int:
        self._kept = _prototype(self.types)(self._guarded)
        return ctypes.cast(self._kept, ctypes.c_void_p).value or 0

    def _guarded(self, *values: int) -> int:
        try:
            answer = self(*values)
            return 0 if answer is None else int(answer)
        except BaseException as failure:  # nothing may unwind through the engine's C frames
            _failures.append(failure)
            return 0

    def __call__(self, *arguments: int) -> Any:
        answer = self.function(*map(np.uint64, arguments))
        return None if answer is None else int(answer)


ENTRIES: dict[str, dict[str, Entry]] = {}
"""Module -> its entry points by symbol."""


@functools.cache
def _prototype(types: tuple[str, ...]) -> Any:
    return ctypes.CFUNCTYPE(*(CTYPES[name] for name in types))


def callback(result: str, *arguments: str) -> Callable[[Callable[..., Any]], Entry]:
    """Make a C function of a function, for Unicorn: `.address` is what it calls. Types are "u64", "u32" or "void"."""

    def decorate(function: Callable[..., Any]) -> Entry:
        made = (Entry if JIT else Interpreted)(function, (result, *arguments))
        ENTRIES.setdefault(made.module, {})[made.symbol] = made
        return made

    return decorate


entry = callback
"""The same for one that Python calls: integers in, an integer or None out."""


def check_callbacks() -> None:
    """Raise what an interpreted callback could not."""
    if _failures:
        failure = _failures[0]
        _failures.clear()
        raise failure


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_shared: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()


def share(array: np.ndarray) -> int:
    """Make an array reachable from hot code by its address, for as long as somebody holds it. Returns the address.

    A one-element record array is reached as `record_at(address)`, any other as `array_at(address, length)`.
    """
    address = int(array.ctypes.data)
    _shared[address] = array
    return address


def span(array: np.ndarray) -> tuple[np.uint64, np.uint64]:
    """uint64[n] as (its address in the host, n), for hot code that looks in bounds; somebody holds the array meanwhile."""
    return np.uint64(array.ctypes.data), np.uint64(array.size)


# ── primitives, interpreted ──────────────────────────────────────────────────────────────────────────────────────────


def prange(*bounds: Any) -> range:
    """A range whose iterations `hot_parallel` shares out."""
    return range(*bounds)


def load64(address: Any) -> np.uint64:
    """uint64 at a host address."""
    return np.uint64(ctypes.c_uint64.from_address(int(address)).value)


def load32(address: Any) -> np.uint64:
    """uint32 at a host address, widened."""
    return np.uint64(ctypes.c_uint32.from_address(int(address)).value)


def store64(address: Any, value: Any) -> None:
    """Store a uint64 at a host address."""
    ctypes.c_uint64.from_address(int(address)).value = int(value)


_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_uint32, *[ctypes.c_uint64] * 5)
_function_at = functools.cache(_FUNCTION)


def call(function: Any, a: Any, b: Any, c: Any, d: Any, e: Any) -> np.uint64:
    """Call a C function by address with up to five integer or pointer arguments; returns its int, zero-extended.

    A function that takes fewer ignores the rest: true of every calling convention we run on. Never a variadic one.
    """
    return np.uint64(_function_at(int(function))(int(a), int(b), int(c), int(d), int(e)))


def array_at(address: Any, length: Any) -> np.ndarray:
    """uint64[length] over the memory at a host address."""
    return _shared[int(address)]


def record_at(dtype: np.dtype[Any]) -> Any:
    """A hot function address -> the record of this dtype that lives there."""
    return Records(dtype).__getitem__


class Records(dict[Any, Any]):
    """Records by address; their fields go through one flat array of words, several times faster than numpy's records."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def __missing__(self, address: Any) -> Any:
        array = _shared[int(address)]
        self[address] = _facade_class(array.dtype)(array)
        return self[address]


@functools.cache
def _facade_class(dtype: np.dtype[Any]) -> type:
    def scalar(at: int) -> property:
        return property(lambda self: self.flat[at], lambda self, value: self.flat.__setitem__(at, value))

    def initialize(self: Any, array: np.ndarray) -> None:
        self.flat = array.view(np.uint64)
        for name in arrays:
            setattr(self, name, getattr(array[0], name))

    fields = {name: (kind, offset) for name, (kind, offset, *_) in (dtype.fields or {}).items()}
    arrays = [name for name, (kind, _offset) in fields.items() if kind.shape or kind != np.uint64]
    scalars = {name: scalar(offset // 8) for name, (_kind, offset) in fields.items() if name not in arrays}
    return type("Record", (), {"__slots__": ("flat", *arrays), "__init__": initialize, **scalars})

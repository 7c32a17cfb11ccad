"""One source, two speeds: the only module that knows Numba.

A hot function is ordinary Python over integers, NumPy arrays and one record. `@hot` compiles it; `@callback` compiles it
into a C function whose address Unicorn calls without the interpreter. With MINIVISOR_JIT=0 the very same source runs as
plain Python, so that one can step through a page-table walk with a debugger. Both leave the same trace.

Four primitives have two bodies, because no common source exists for them: a raw load, a raw store, a call by address and
a record at an address. They are here, side by side, and `tests/machine/test_hot.py` runs each against the other.

    compiled                               interpreted
    llvm load / store                      ctypes.from_address
    llvm call through inttoptr             ctypes function pointer
    record or array over a raw pointer     a dictionary from address to the array that lives there

Facts this module lives by (measured; see the test beside each):
  * a ctypes function named inside compiled code stops Numba from caching it: addresses are data, never constants;
  * an edited constant leaves a cached *caller* old: the cache folder is keyed by a hash of every source that uses this;
  * uint64 mixed with a Python int literal becomes int64: every constant in hot code is np.uint64;
  * interpreted, np.uint64 arithmetic warns where hardware wraps: the interpreted process ignores it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import hashlib
import os
import pathlib
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = [
    "JIT",
    "array_at",
    "call",
    "callback",
    "check_callbacks",
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


ALSO = ("arch/encoding.py", "trace/kinds.py", "trace/row.py")
"""Other sources whose constants end up in compiled code."""


def _cache_directory() -> str:
    """Where compiled code is kept: per user, keyed by the sources, so that no edit can leave a stale caller behind."""
    here = pathlib.Path(__file__).parent
    files = [*sorted(here.glob("*.py")), *(here.parent / other for other in ALSO)]
    sources = [path.read_bytes() for path in files]
    also = sources[-len(ALSO) :]
    hot_sources = [text for text in sources if b"minivisor.machine.hot" in text or b"_cache_directory" in text or text in also]
    digest = hashlib.blake2b(b"".join(hot_sources), digest_size=8).hexdigest()
    home = os.environ.get("MINIVISOR_CACHE") or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = pathlib.Path(home) / "minivisor" / digest
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return str(folder)
    except OSError:
        pass
    folder = pathlib.Path(tempfile.mkdtemp(prefix="minivisor-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(folder)


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


@contextlib.contextmanager
def _no_garbage() -> Iterator[None]:
    """Numba's start makes a million objects that stay: looking for garbage among them, again and again, takes a fifth of it."""
    wanted = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if wanted:
            gc.enable()


if JIT:
    with _no_garbage():
        import numba
        from llvmlite import ir
        from numba import prange, types
        from numba.core import cgutils
        from numba.extending import intrinsic

    _CACHE = _cache_directory()

    def _cached(decorate: Callable[[Callable[..., Any]], Any], function: Callable[..., Any]) -> Any:
        """Our code goes to our folder; where anybody else's goes, here or in a child process, is not our affair."""
        theirs, numba.config.CACHE_DIR = numba.config.CACHE_DIR, _CACHE
        try:
            return decorate(function)
        finally:
            numba.config.CACHE_DIR = theirs

    def hot(function: Callable[..., Any]) -> Callable[..., Any]:
        """Compile a function on first use; nothing in it may need the interpreter."""
        compiled: Callable[..., Any] = _cached(numba.njit(cache=True, nogil=True, error_model="numpy"), function)
        return compiled

    def hot_inline(function: Callable[..., Any]) -> Callable[..., Any]:
        """The same, compiled into each of its callers: the walk's small steps cost nothing (a fifth of its time otherwise)."""
        compile_ = numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
        compiled: Callable[..., Any] = _cached(compile_, function)
        return compiled

    def hot_parallel(function: Callable[..., Any]) -> Callable[..., Any]:
        """The same, its `prange` loops shared out over all cores: iterations in any order. From one thread at a time."""
        compile_ = numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")
        compiled: Callable[..., Any] = _cached(compile_, function)
        return compiled

    @intrinsic
    def load64(typing_context, address):  # type: ignore[no-untyped-def]
        """uint64 at a host address."""

        def body(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return builder.load(builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()))

        return types.uint64(types.uint64), body

    @intrinsic
    def load32(typing_context, address):  # type: ignore[no-untyped-def]
        """uint32 at a host address, widened."""

        def body(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            word = builder.load(builder.inttoptr(arguments[0], ir.IntType(32).as_pointer()))
            return builder.zext(word, ir.IntType(64))

        return types.uint64(types.uint64), body

    @intrinsic
    def store64(typing_context, address, value):  # type: ignore[no-untyped-def]
        """Store a uint64 at a host address."""

        def body(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            builder.store(arguments[1], builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()))
            return context.get_dummy_value()

        return types.void(types.uint64, types.uint64), body

    @intrinsic
    def call(typing_context, function, a, b, c, d, e):  # type: ignore[no-untyped-def]
        """Call a C function by address with up to five integer or pointer arguments; returns its int, zero-extended.

        A function that takes fewer ignores the rest: true of every calling convention we run on. Never a variadic one.
        """

        def body(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            word = ir.IntType(64)
            kind = ir.FunctionType(ir.IntType(32), [word] * 5)
            target = builder.inttoptr(arguments[0], kind.as_pointer())
            return builder.zext(builder.call(target, arguments[1:]), word)

        return types.uint64(*[types.uint64] * 6), body

    @functools.cache
    def _record_at(dtype: np.dtype[Any]) -> Any:
        record = numba.from_dtype(dtype)

        @intrinsic
        def at(typing_context, address):  # type: ignore[no-untyped-def]
            def body(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
                return builder.inttoptr(arguments[0], context.get_value_type(record))

            return record(types.uint64), body

        return at

    def record_at(dtype: np.dtype[Any]) -> Any:
        """A hot function address -> the record of this dtype that lives there."""
        return _record_at(dtype)

    @intrinsic
    def array_at(typing_context, address, length):  # type: ignore[no-untyped-def]
        """uint64[length] over the memory at a host address."""
        kind = types.Array(types.uint64, 1, "C")

        def body(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            array = context.make_array(kind)(context, builder)
            data = builder.inttoptr(arguments[0], context.get_data_type(types.uint64).as_pointer())
            words = context.get_constant(types.intp, 8)
            shape = cgutils.pack_array(builder, [arguments[1]])
            strides = cgutils.pack_array(builder, [words])
            context.populate_array(array, data=data, shape=shape, strides=strides, itemsize=words, meminfo=None)
            return array._getvalue()

        return kind(types.uint64, types.uint64), body

else:
    np.seterr(over="ignore")  # hardware wraps silently, and so does hot code; for the whole process, it is asked for by name

    def hot(function: Callable[..., Any]) -> Callable[..., Any]:
        """The same source, interpreted."""
        return function

    hot_inline, hot_parallel, prange = hot, hot, range

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
        """Call a C function by address with up to five integer or pointer arguments; returns its int, zero-extended."""
        return np.uint64(_function_at(int(function))(int(a), int(b), int(c), int(d), int(e)))

    def record_at(dtype: np.dtype[Any]) -> Any:
        """A function address -> the record of this dtype that lives there."""
        return _Facades().__getitem__

    class _Facades(dict[Any, Any]):
        """Records by address; their fields go through one flat array of words, several times faster than numpy's records."""

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

    def array_at(address: Any, length: Any) -> np.ndarray:
        """uint64[length] over the memory at a host address."""
        return _shared[int(address)]


@contextlib.contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Within it the `prange` loops of this thread use so many cores; interpreted there is one anyway."""
    if not JIT:
        yield
        return
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


_CTYPES: dict[str, Any] = {"u64": ctypes.c_uint64, "u32": ctypes.c_uint32, "void": None}
_failures: list[BaseException] = []


def callback(result: str, *arguments: str) -> Callable[[Callable[..., Any]], Any]:
    """Make a C callback of a function: `.address` is what Unicorn calls. Types are "u64", "u32" or "void".

    Interpreted, an exception cannot cross C: it is kept, and `check_callbacks` raises it after the engine returned.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        names = {"u64": types.uint64, "u32": types.uint32, "void": types.void}
        return _cached(numba.cfunc(names[result](*[names[name] for name in arguments]), cache=True), function)

    def interpreted(function: Callable[..., Any]) -> Any:
        def guarded(*values: int) -> int:
            try:
                answer = function(*map(np.uint64, values))
                return 0 if answer is None else int(answer)
            except BaseException as failure:  # nothing may unwind through the engine's C frames
                _failures.append(failure)
                return 0

        pointer = ctypes.CFUNCTYPE(_CTYPES[result], *[_CTYPES[name] for name in arguments])(guarded)
        pointer.address = ctypes.cast(pointer, ctypes.c_void_p).value  # type: ignore[attr-defined]
        return pointer

    return compiled if JIT else interpreted


def check_callbacks() -> None:
    """Raise what an interpreted callback could not."""
    if _failures:
        failure = _failures[0]
        _failures.clear()
        raise failure

"""The only module that knows Numba: from hot functions to machine code.

Entry points are compiled together. Numba types and lowers each, with everything it calls; what it says in LLVM's words is put
into one module, in which nothing is visible but the entries, and that is optimized once, as a whole. So a function that several
entries call is there once, no error can be raised that none raises (LLVM sees all callers, and drops what Numba has for that),
and the object refers to nothing outside but memset: it can be kept, and loaded without Numba (`object_code.py`).

A hot function names others, and primitives, as globals. Numba is given a copy of the function whose globals are what Numba
makes of them. A function that Python itself calls with arrays or records, as tests and `batch.py` do, is left to Numba
altogether, its cache included; its folder has the sources' hash in its name, for Numba looks at the edited file alone.

A fact this module lives by: Numba's own optimization, of each function with all it calls, takes longer than all the rest. A
process that is there to compile goes without (NUMBA_OPT=0, see `object_code.py`).
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from minivisor.machine import hot, object_code


@contextlib.contextmanager
def _no_garbage() -> Iterator[None]:
    """Numba's start makes a million objects that stay: looking for garbage among them, again and again, takes a fifth of it."""
    wanted = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if wanted:
            gc.enable()


with _no_garbage():
    import numba
    from llvmlite import ir
    from numba.core import cgutils
    from numba.core import types as kinds
    from numba.core.types.misc import unliteral
    from numba.extending import intrinsic

__all__ = ["compile_entries", "compile_to", "dispatcher", "on_cores"]

NO_MEMORY = {"_nrt": False}  # nothing allocates: without a look at reference counts, it is compiled in less time
INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **NO_MEMORY}  # nobody else calls it


# ── primitives, compiled ─────────────────────────────────────────────────────────────────────────────────────────────


@intrinsic
def load64(typing_context, address):  # type: ignore[no-untyped-def]
    def body(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.load(builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()))

    return kinds.uint64(kinds.uint64), body


@intrinsic
def load32(typing_context, address):  # type: ignore[no-untyped-def]
    def body(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        word = builder.load(builder.inttoptr(arguments[0], ir.IntType(32).as_pointer()))
        return builder.zext(word, ir.IntType(64))

    return kinds.uint64(kinds.uint64), body


@intrinsic
def store64(typing_context, address, value):  # type: ignore[no-untyped-def]
    def body(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        builder.store(arguments[1], builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()))
        return context.get_dummy_value()

    return kinds.void(kinds.uint64, kinds.uint64), body


@intrinsic
def call(typing_context, function, a, b, c, d, e):  # type: ignore[no-untyped-def]
    def body(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.IntType(32), [word] * 5)
        target = builder.inttoptr(arguments[0], kind.as_pointer())
        return builder.zext(builder.call(target, arguments[1:]), word)

    return kinds.uint64(*[kinds.uint64] * 6), body


@intrinsic
def array_at(typing_context, address, length):  # type: ignore[no-untyped-def]
    kind = kinds.Array(kinds.uint64, 1, "C")

    def body(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        array = context.make_array(kind)(context, builder)
        data = builder.inttoptr(arguments[0], context.get_data_type(kinds.uint64).as_pointer())
        words = context.get_constant(kinds.intp, 8)
        shape = cgutils.pack_array(builder, [arguments[1]])
        strides = cgutils.pack_array(builder, [words])
        context.populate_array(array, data=data, shape=shape, strides=strides, itemsize=words, meminfo=None)
        return array._getvalue()

    return kind(kinds.uint64, kinds.uint64), body


@functools.cache
def _record_at(dtype: np.dtype[Any]) -> Any:
    record = numba.from_dtype(dtype)

    @intrinsic
    def at(typing_context, address):  # type: ignore[no-untyped-def]
        def body(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return builder.inttoptr(arguments[0], context.get_value_type(record))

        return record(kinds.uint64), body

    return at


PRIMITIVES: dict[Any, Any] = {
    hot.load64: load64,
    hot.load32: load32,
    hot.store64: store64,
    hot.call: call,
    hot.array_at: array_at,
    hot.prange: numba.prange,
}


# ── handles ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _known(value: Any) -> Any:
    """What Numba is given for a global of a hot function."""
    if isinstance(value, hot.Hot):
        return _inner(value)
    if isinstance(value, types.FunctionType):
        return PRIMITIVES.get(value, value)
    records = getattr(value, "__self__", None)
    return _record_at(records.dtype) if isinstance(records, hot.Records) else value


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _linked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of a function, whose globals are what Numba understands."""
    assert isinstance(function, types.FunctionType)
    there = function.__globals__
    known = {name: _known(there[name]) for name in _names(function.__code__) if name in there}
    known |= {name: there[name] for name in ("__name__", "__builtins__")}
    copy = types.FunctionType(function.__code__, known, function.__name__, function.__defaults__, function.__closure__)
    functools.update_wrapper(copy, function)
    return copy


@functools.cache
def _inner(handle: hot.Hot) -> Any:
    """For other compiled code: once, and not again for each number that somebody writes down as an argument, as Numba would."""
    made = numba.njit(error_model="numpy", **INNER, **handle.options)(_linked(handle.function))
    template = made.get_call_template
    made.get_call_template = lambda arguments, named: template(tuple(map(unliteral, arguments)), named)
    return made


@functools.cache
def dispatcher(handle: hot.Hot) -> Any:
    """For Python. Our code goes to our folder; where anybody else's goes, in this process, is not our affair."""
    theirs, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(object_code.folder())
    try:
        return numba.njit(error_model="numpy", cache=True, nogil=True, **handle.options)(_linked(handle.function))
    finally:
        numba.config.CACHE_DIR = theirs


@contextlib.contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Within it the `prange` loops of this thread use so many cores."""
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


# ── entry points ─────────────────────────────────────────────────────────────────────────────────────────────────────


def compile_entries(entries: Iterable[hot.Entry]) -> bytes:
    """Object code in which each has its symbol, and nothing else has one."""
    wanted = list(entries)
    whole, *parts = map(_lowered, wanted)
    for part in parts:
        whole.link_in(part)
    symbols = {entry.symbol for entry in wanted}
    for thing in (*whole.functions, *whole.global_variables):
        if not thing.is_declaration and thing.name not in symbols:
            thing.linkage = "internal"
    whole.verify()
    machine = object_code.target_machine()
    tuning = llvm.create_pipeline_tuning_options(3)
    tuning.loop_vectorization, tuning.slp_vectorization = True, False  # as Numba
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(whole, builder)
    return bytes(machine.emit_object(whole))


def _lowered(entry: hot.Entry) -> Any:
    """The LLVM module that Numba makes of an entry and all it calls."""
    names = {"u64": kinds.uint64, "u32": kinds.uint32, "void": kinds.void}
    result, *arguments = (names[name] for name in entry.types)
    compiled = numba.cfunc(result(*arguments), error_model="numpy", **NO_MEMORY)(_linked(entry.function))
    module = llvm.parse_assembly(compiled.inspect_llvm())
    module.get_function(compiled.native_name).name = entry.symbol
    return module


def compile_to(modules: list[str], path: str) -> None:
    """Compile the entries of these modules into a file: what a process does that is there for nothing else."""
    gc.disable()  # it ends before there is much to collect
    for module in modules:
        importlib.import_module(module)
    entries = [entry for module in modules for entry in hot.ENTRIES[module].values()]
    Path(path).write_bytes(compile_entries(entries))

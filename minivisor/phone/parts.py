"""Parts of somebody's own, from a Python file: `--scheduler FILE:CLASS`, `--handlers FILE`, `--cost-model FILE:NAME`.

The file is ordinary Python and is run once. What it offers is checked against the seam (`minivisor/stages.py`) twice:
when it is loaded, and each time it answers. A part that breaks the contract, or raises, ends the run with one line that
names the file and the line of *its* code; `--traceback` shows all of it.

    class Mine:                                   def on_hvc(exit, vcpu):
        def next(self, now, vcpus):                   if vcpu.x[0] == 0xC600_0000:
            return vcpus[0].index, 1_000_000              return Outcome(writes={"X0": 42})
                                                      return NotImplemented        # ours answers then
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from minivisor import stages
from minivisor.arch.esr import EC
from minivisor.errors import StageError, fault
from minivisor.hypervisor.cost import CostModel, cost_model
from minivisor.hypervisor.reference import Guest, reference
from minivisor.hypervisor.scheduler import FairShare, RoundRobin
from minivisor.stages import Exit, Handler, Outcome, Scheduler, Stages, Vcpu

__all__ = ["blame", "load_cost_model", "load_handlers", "load_module", "load_scheduler", "stages_with"]

SEE = "minivisor/stages.py"
LONGEST = 120  # characters of what a policy says of a choice
HANDLERS = {
    "on_wfi": (EC.WFX,),
    "on_hvc": (EC.HVC64,),
    "on_smc": (EC.SMC64,),
    "on_sysreg": (EC.SYSREG,),
    "on_abort": (EC.IABT_LOWER, EC.DABT_LOWER),
}
OUTCOMES = ("resume", "wait", "undefined", "abort", "off", "on", "shutdown", "reset", "stop")
REGISTERS = {"PC", *(f"X{number}" for number in range(31))}


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def load_module(option: str, file: str) -> ModuleType:
    """Run a Python file and return it as a module. option: as the user knows it, for messages. Raises StageError."""
    path = Path(file)
    try:
        source = path.read_bytes()
    except OSError as problem:
        raise StageError(fault(option, f"{path} ({problem.strerror})", "a Python file", f"{SEE}")) from None
    module = ModuleType(f"minivisor_part_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    with _beside(path.resolve().parent):
        try:
            exec(compile(source, str(path), "exec"), module.__dict__)
        except (Exception, SystemExit) as problem:
            raise blame(problem, path) or StageError(_unreadable(option, path, problem)) from problem
    api = getattr(module, "API", stages.API)
    if api != stages.API:
        raise StageError(fault(option, f"{path} for API {api}", f"API {stages.API}", SEE))
    return module


@contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """While a file is run it may import its neighbours, as a script may."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _unreadable(option: str, path: Path, problem: BaseException) -> str:
    line = f":{problem.lineno}" if isinstance(problem, SyntaxError) and problem.lineno else ""
    words = problem.msg if isinstance(problem, SyntaxError) else problem
    return fault(option, f"{path}{line} ({type(problem).__name__}: {words})", "a Python file", SEE)


def blame(problem: BaseException, *files: str | Path) -> StageError | None:
    """A failure as one line that names the last line of `files` it came through; None when it came through none."""
    own = {str(Path(file)) for file in files}
    cause: BaseException | None = problem
    while cause is not None:
        frames = [frame for frame in traceback.extract_tb(cause.__traceback__) if frame.filename in own]
        if frames:
            last = frames[-1]
            return StageError(f"{last.filename}:{last.lineno}: {last.name} raised {type(cause).__name__}: {cause}")
        cause = cause.__cause__
    return None


def _split(option: str, text: str) -> tuple[str, str]:
    file, colon, name = text.rpartition(":")
    if not colon or not file or not name.isidentifier():
        raise StageError(fault(option, text, "FILE:NAME, as in mine.py:Mine", SEE))
    return file, name


def _member(option: str, text: str) -> tuple[str, str, Any]:
    """(file, name, object) of FILE:NAME."""
    file, name = _split(option, text)
    module = load_module(option, file)
    if not hasattr(module, name):
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        raise StageError(fault(option, f"{file}:{name}", f"a name defined there ({', '.join(own) or 'none'})", SEE))
    return file, name, getattr(module, name)


def _line_of(part: Any, file: str) -> str:
    """FILE:LINE of a function or class."""
    try:
        return f"{file}:{inspect.getsourcelines(part)[1]}"
    except (OSError, TypeError):
        return file


def _accepts(function: Callable[..., Any], *arguments: Any) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True


# ── schedulers ───────────────────────────────────────────────────────────────────────────────────────────────────────


class CheckedScheduler:
    """A user's scheduler; what it answers is checked where its file and line can still be named."""

    def __init__(self, policy: Scheduler, where: str) -> None:
        self._policy, self._where = policy, where

    @property
    def why(self) -> str:
        """What the policy says of its last choice."""
        return str(getattr(self._policy, "why", ""))[:LONGEST]

    def next(self, now: int, vcpus: Any) -> tuple[int, int] | None:
        answer = self._policy.next(now, vcpus)
        if answer is None:
            return None
        runnable = [vcpu.index for vcpu in vcpus if vcpu.runnable]
        if not (isinstance(answer, tuple) and len(answer) == 2 and answer[0] in runnable and _positive(answer[1])):
            expected = f"None or (index, slice in ns) with index one of {runnable} and slice an int above 0"
            raise StageError(fault(f"{self._where}: next()", answer, expected, SEE))
        return int(answer[0]), int(answer[1])


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def load_scheduler(text: str, slice_: int) -> Scheduler:
    """A policy from "round-robin", "fair-share" or FILE:CLASS. slice_: ns, for a constructor that takes `slice`."""
    option = "--scheduler"
    if text == "fair-share":
        return FairShare(slice_)
    if text == "round-robin":
        return RoundRobin(slice_)
    if ":" not in text:
        raise StageError(fault(option, text, "fair-share, round-robin or FILE:CLASS, as in mine.py:Mine", SEE))
    file, name, cls = _member(option, text)
    where, following = _line_of(cls, file), getattr(cls, "next", None)
    if not isinstance(cls, type) or not callable(following) or not _accepts(following, None, 0, ()):
        raise StageError(fault(option, f"{where}: {name}", "a class with next(self, now, vcpus)", SEE))
    options = {"slice": slice_} if "slice" in inspect.signature(cls).parameters else {}
    try:
        return CheckedScheduler(cast(Any, cls)(**options), where)
    except Exception as problem:
        expected = f"a class that can be made with {name}() or {name}(slice=ns)"
        raise blame(problem, file) or StageError(fault(option, f"{where}: {problem}", expected, SEE)) from problem


# ── handlers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def load_handlers(file: str, option: str = "--handlers") -> dict[int, Handler]:
    """{exception class: handler} from a file that defines on_hvc, on_wfi, … or HANDLERS = {ec: function}.

    option: who asked for it, for messages. A handler's `__wrapped__` is the file's own function.
    """
    module = load_module(option, file)
    found: dict[int, Any] = {
        ec: getattr(module, name) for name, classes in HANDLERS.items() if hasattr(module, name) for ec in classes
    }
    table = getattr(module, "HANDLERS", {})
    if not isinstance(table, Mapping) or not all(isinstance(ec, int) and 0 <= ec < 64 for ec in table):
        expected = "a dict of exception classes, 0 to 63, to functions"
        raise StageError(fault(option, f"{file}: HANDLERS {table!r}", expected, SEE))
    found.update(table)
    if not found:
        raise StageError(fault(option, file, f"a file that defines {', '.join(HANDLERS)} or HANDLERS", SEE))
    for function in found.values():
        if not _accepts(function, None, None):
            raise StageError(fault(option, _line_of(function, file), "a function of (exit, vcpu)", SEE))
    return {int(ec): _checked(function, _line_of(function, file)) for ec, function in found.items()}


def _checked(function: Handler, where: str) -> Handler:
    @functools.wraps(function)
    def handler(exit: Exit, vcpu: Vcpu) -> Outcome:
        answer: Any = function(exit, vcpu)
        if answer is not NotImplemented and not _sound(answer):
            name = getattr(function, "__name__", "handler")
            expected = f"an Outcome of kind {', '.join(OUTCOMES)} that writes 64-bit words to X0 to X30 and PC (-1 is"
            expected += " to_register(-1), minivisor.arch.psci), or NotImplemented"
            raise StageError(fault(f"{where}: {name}()", answer, expected, SEE))
        return answer  # type: ignore[no-any-return]

    return handler


def _sound(answer: object) -> bool:
    if not isinstance(answer, Outcome) or answer.kind not in OUTCOMES or not isinstance(answer.writes, Mapping):
        return False
    if not isinstance(answer.reason, str) or (answer.kind == "on" and not _numbers(answer.argument)):
        return False
    return all(name in REGISTERS and _is_word(value) for name, value in answer.writes.items())


def _is_word(value: object) -> bool:
    """What a 64-bit register holds. It has no sign."""
    return isinstance(value, int) and 0 <= value < 1 << 64


def _numbers(argument: object) -> bool:
    """(target, entry, context) of outcome "on"."""
    return isinstance(argument, tuple) and len(argument) == 3 and all(isinstance(value, int) for value in argument)


def stages_with(handlers: Mapping[int, Handler]) -> Callable[[Guest], Stages]:
    """The reference parts with some handlers replaced; where a handler answers NotImplemented, the reference's does."""

    def assembly(guest: Guest) -> Stages:
        parts = reference(guest)
        mine = {ec: _or_else(function, parts.handlers[ec]) for ec, function in handlers.items()}
        return dataclasses.replace(parts, handlers={**parts.handlers, **mine})

    return assembly


def _or_else(function: Handler, ours: Handler) -> Handler:
    def handler(exit: Exit, vcpu: Vcpu) -> Outcome:
        answer: Any = function(exit, vcpu)
        return ours(exit, vcpu) if answer is NotImplemented else answer

    return handler


# ── cost models ──────────────────────────────────────────────────────────────────────────────────────────────────────


def load_cost_model(text: str) -> CostModel:
    """A published model by its name, or FILE:NAME of a CostModel."""
    if ":" not in text:
        return cost_model(text)
    file, name, model = _member("--cost-model", text)
    if not isinstance(model, CostModel):
        expected = 'a CostModel, as in CostModel("mine", exit=1000, switch=2000)'
        raise StageError(fault("--cost-model", f"{file}: {name} = {model!r}", expected, "minivisor/hypervisor/cost.py"))
    return model

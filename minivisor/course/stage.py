"""A student's file, or an engineer's, as parts of the hypervisor: by name, beside the reference parts.

    def on_hvc(exit, vcpu):                       parts = load_stage("work/ch02.py")
        …                                         Phone(stages=parts)
        return Outcome(writes={"X0": answer})     parts.calls            what it was asked, what it answered

Whatever the file does not define stays the reference's. What it defines is watched: an exception, a wrong type or a
register that is none becomes a StageError with the file and the line, so that nobody has to read a traceback of ours.

One name is more than a replacement. PSCI and the SMCCC questions keep their reference answers (a guest needs them to
boot and to end), so `on_hvc` is asked about every other HVC.
"""

from __future__ import annotations

import functools
import inspect
import sys
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from minivisor.arch.esr import EC
from minivisor.arch.psci import FunctionId
from minivisor.errors import MinivisorError, StageError, fault
from minivisor.hypervisor.reference import Guest, reference
from minivisor.stages import API, Exit, Handler, Outcome, Stages, Vcpu

__all__ = ["HANDLERS", "PARTS", "Call", "Parts", "load_stage"]

HANDLERS = {"on_hvc": EC.HVC64, "on_smc": EC.SMC64, "on_wfi": EC.WFX, "on_sysreg": EC.SYSREG}
"""A function of this name, of (exit, vcpu), answers exits of that class."""
PARTS = {"decode": 3, "vtimer": 4, "save": 1, "load": 2}
"""A function of this name, of so many arguments, replaces the field of `Stages` with the same name."""

KEPT = 10_000  # calls remembered: a guest may ask for ever
STANDARD = {0, 4}  # FunctionId.OWNER of the Arm architecture calls and of PSCI
REGISTERS = frozenset({*(f"X{n}" for n in range(31)), "PC"})
WORD = 1 << 64
KINDS = ("resume", "wait", "undefined", "abort", "on", "off", "shutdown", "reset", "stop")


@dataclass(frozen=True)
class Call:
    """One exit that a file's handler answered. part: the function's name, as in HANDLERS."""

    part: str
    exit: Exit
    vcpu: Vcpu
    outcome: Outcome


class Parts:
    """The parts in one file. Called with a persona it gives that persona's `Stages`: it goes where `reference` goes.

    functions: by name, as in HANDLERS and PARTS. calls: the newest exits that its handlers answered, oldest first.
    """

    def __init__(self, path: Path, functions: dict[str, Callable[..., Any]]) -> None:
        self.path, self.functions = path, functions
        self.calls: deque[Call] = deque(maxlen=KEPT)

    def __call__(self, guest: Guest) -> Stages:
        stages = reference(guest)
        handlers = dict(stages.handlers)
        for name, exception_class in HANDLERS.items():
            if name in self.functions:
                handlers[exception_class] = self._handler(name, handlers[exception_class])
        own = {name: self._guarded(name) for name in PARTS if name in self.functions}
        return replace(stages, handlers=handlers, **own)

    def where(self, name: str) -> str:
        """File and line of one of its functions, as `starter.py:12`."""
        code = getattr(inspect.unwrap(self.functions[name]), "__code__", None)
        return f"{self.path.name}:{code.co_firstlineno}" if code else self.path.name

    def _handler(self, name: str, standard: Handler) -> Handler:
        mine = self._guarded(name)

        def handle(exit: Any, vcpu: Vcpu) -> Outcome:
            if name == "on_hvc" and exit.immediate == 0 and FunctionId(vcpu.x[0] & 0xFFFF_FFFF).OWNER in STANDARD:
                return standard(exit, vcpu)
            outcome = _checked(f"{self.where(name)}: {name}", mine(exit, vcpu))
            self.calls.append(Call(name, exit, vcpu, outcome))
            return outcome

        return handle

    def _guarded(self, name: str) -> Callable[..., Any]:
        """The function, its exceptions turned into a StageError at the line of the file that raised."""
        function = self.functions[name]

        @functools.wraps(function)
        def guarded(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except MinivisorError:
                raise
            except Exception as problem:
                words = f"{name} raised {type(problem).__name__}: {problem}"
                raise StageError(f"{_line(self.path, problem) or self.where(name)}: {words}") from problem

        return guarded


def _checked(handler: str, outcome: object) -> Outcome:
    """What a handler returned, held to the contract of `stages.Outcome`. handler: its file, line and name."""
    if not isinstance(outcome, Outcome):
        expected = "an Outcome, such as Outcome(writes={'X0': 0})"
        raise StageError(fault(f"{handler} returned", repr(outcome), expected, "minivisor/stages.py"))
    if outcome.kind not in KINDS:
        raise StageError(fault(f"{handler}: kind", repr(outcome.kind), f"one of {', '.join(KINDS)}"))
    for register, value in outcome.writes.items():
        if register not in REGISTERS:
            raise StageError(fault(f"{handler} writes", repr(register), "X0 to X30, or PC"))
        if not isinstance(value, int) or not 0 <= value < WORD:
            expected = "0 to 2**64 - 1; a negative answer is to_register(-1) (minivisor.arch.psci)"
            raise StageError(fault(f"{handler}: {register} =", repr(value), expected))
    return outcome


def load_stage(file: str | Path) -> Parts:
    """The parts in a Python file, or StageError: one line with the file and, where there is one, the line in it."""
    path = Path(file)
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "not UTF-8 text"
        raise StageError(fault(str(path), reason, "a Python file with parts in it")) from None
    names = _run(path, source)
    parts = Parts(path, {name: names[name] for name in (*HANDLERS, *PARTS) if name in names})
    _refuse_unusable(path, names)
    for name, function in parts.functions.items():
        _check_parameters(parts, name, function)
    return parts


def _run(path: Path, source: str) -> dict[str, Any]:
    """Execute a file's top level in a module of its own."""
    module = ModuleType(f"minivisor_stage_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except SyntaxError as problem:
        line = f"{path.name}:{problem.lineno or 1}"
        raise StageError(f"{line}: {problem.msg}: {(problem.text or '').strip()}") from None
    except Exception as problem:
        words = f"{type(problem).__name__}: {problem}"
        raise StageError(f"{_line(path, problem) or path.name}: loading it raised {words}") from problem
    return module.__dict__


def _refuse_unusable(path: Path, names: dict[str, Any]) -> None:
    """Nothing in a file is ignored that its author believes to be in use."""
    api = names.get("API", API)
    if api != API:
        raise StageError(fault(f"{path.name}: API", api, f"{API}, the seam of this version", "minivisor/stages.py"))
    known = {*HANDLERS, *PARTS}
    later = sorted(set(Stages.__dataclass_fields__) & {n for n, v in names.items() if callable(v)} - known)
    if later:
        raise StageError(fault(f"{path.name}: {later[0]}", "a part that cannot be replaced yet", _listed(known)))
    if not known & set(names):
        raise StageError(fault(path.name, "no part", f"a function named {_listed(known)}", "minivisor/course/stage.py"))


def _check_parameters(parts: Parts, name: str, function: Any) -> None:
    count = PARTS.get(name, 2)
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):
        where = parts.where(name) if callable(function) else parts.path.name
        shape = "(exit, vcpu)" if name in HANDLERS else f"of {count} arguments"
        raise StageError(fault(f"{where}: {name}", "something else", f"a function {shape}")) from None


def _listed(names: set[str]) -> str:
    return "one of " + ", ".join(sorted(names))


def _line(path: Path, problem: BaseException) -> str:
    """`file:line` of the innermost frame that is in the file, or an empty string."""
    inside = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == str(path)]
    return f"{path.name}:{inside[-1].lineno}" if inside else ""

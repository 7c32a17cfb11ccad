"""A file of handlers: what it was asked is remembered, and every mistake in it is one line that says where."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from minivisor.arch.esr import EC
from minivisor.arch.psci import Function, to_register
from minivisor.course.stage import KEPT, Parts, load_stage
from minivisor.errors import StageError
from minivisor.platform.bus import Bus
from minivisor.stages import Hvc, Outcome, Vcpu, Wfx

HEAD = "from minivisor.stages import Outcome\n"
OURS = 0xC600_0001


class Guest:
    """The narrow view of a persona that the reference parts take."""

    bus = Bus()
    trapped_registers: ClassVar[dict[object, object]] = {}

    def affinity(self, number: int) -> int | None:
        return 0 if number == 0 else None

    def code_at(self, va: int) -> int:
        return 0

    def register(self, name: str) -> int:
        return 0

    def inside(self, ipa: int) -> bool:
        return True


def file(folder: Path, text: str) -> Path:
    path = folder / "work.py"
    path.write_text(text, encoding="utf-8")
    return path


def hvc(function: int) -> tuple[Hvc, Vcpu]:
    return Hvc(0x5A000000, EC.HVC64, 0, 0), Vcpu(0, "work", (function, *[0] * 30), 0x4020_0004)


def answered(parts: Parts, function: int) -> Outcome:
    return parts(Guest()).handlers[EC.HVC64](*hvc(function))


def test_the_file_answers_and_its_calls_are_remembered(tmp_path: Path) -> None:
    body = "def on_hvc(exit, vcpu):\n    return Outcome(writes={'X0': vcpu.x[0] + 1})\n"
    parts = load_stage(file(tmp_path, HEAD + body))
    assert answered(parts, OURS).writes == {"X0": OURS + 1}
    (call,) = parts.calls
    assert call.exit.ec == EC.HVC64 and call.vcpu.x[0] == OURS and call.outcome.writes == {"X0": OURS + 1}
    assert parts.where("on_hvc") == "work.py:2"


def test_what_it_passes_on_is_answered_by_the_reference_and_remembered_too(tmp_path: Path) -> None:
    parts = load_stage(file(tmp_path, "def on_hvc(exit, vcpu):\n    return NotImplemented\n"))
    assert answered(parts, Function.VERSION).writes == {"X0": 0x1_0001}
    assert answered(parts, OURS).writes == {"X0": to_register(-1)}
    assert [call.outcome.writes["X0"] for call in parts.calls] == [0x1_0001, to_register(-1)]


def test_what_the_file_does_not_define_stays_the_reference(tmp_path: Path) -> None:
    parts = load_stage(file(tmp_path, HEAD + "def on_wfi(exit, vcpu):\n    return Outcome('wait')\n"))
    handlers = parts(Guest()).handlers
    assert answered(parts, OURS).writes == {"X0": to_register(-1)}
    assert handlers[EC.WFX](Wfx(1 << 26, EC.WFX, 0, False), Vcpu(0, "work")) == Outcome("wait")
    assert len(parts.calls) == 1


def test_only_the_newest_calls_are_kept(tmp_path: Path) -> None:
    parts = load_stage(file(tmp_path, HEAD + "def on_hvc(exit, vcpu):\n    return Outcome()\n"))
    handler = parts(Guest()).handlers[EC.HVC64]
    for number in range(KEPT + 5):
        handler(*hvc(OURS + number))
    assert len(parts.calls) == KEPT and parts.calls[0].vcpu.x[0] == OURS + 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def on_hvc(exit, vcpu)\n    pass\n", r"^load_stage: got \S+work\.py:1 \(SyntaxError: expected ':'\)"),
        ("x = 1\ny = x / 0\n", r"work\.py:2: <module> raised ZeroDivisionError"),
        ("def on_hcv(exit, vcpu):\n    pass\n", r"^load_stage: got \S+work\.py, expected a file that defines .*on_hvc"),
        ("\ndef on_hvc(exit):\n    pass\n", r"work\.py:2, expected a function of \(exit, vcpu\)"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(StageError, match=said):
        load_stage(file(tmp_path, text))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return None", r"work\.py:2: on_hvc\(\): got None, expected an Outcome"),
        ("return Outcome('resumed')", r"work\.py:2: on_hvc\(\): got .*expected an Outcome of kind resume, wait"),
        ("return Outcome(writes={'x0': 1})", r"work\.py:2: on_hvc\(\): got .*X0 to X30 and PC"),
        ("return Outcome(writes={'X0': -1})", r"work\.py:2: on_hvc\(\): got .*-1 is to_register\(-1\)"),
        ("return Outcome(writes={'X0': 1 << 64})", r"work\.py:2: on_hvc\(\): got "),
        ("z = 0\n    return vcpu.nothing", r"work\.py:4: on_hvc raised AttributeError: 'Vcpu' object has no"),
        ("import json\n    return json.loads('{')", r"work\.py:4: on_hvc raised JSONDecodeError"),
    ],
)
def test_an_answer_outside_the_contract_is_one_line(tmp_path: Path, body: str, said: str) -> None:
    parts = load_stage(file(tmp_path, f"{HEAD}def on_hvc(exit, vcpu):\n    {body}\n"))
    with pytest.raises(StageError, match=said):
        answered(parts, OURS)
    assert not parts.calls

"""A file of parts: loaded by name, watched while it runs, and every mistake in it is one line that says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from minivisor.arch.esr import EC
from minivisor.arch.psci import Function, to_register
from minivisor.course.stage import KEPT, Parts, load_stage
from minivisor.errors import StageError
from minivisor.hypervisor.aborts import Bus
from minivisor.stages import Hvc, Outcome, Vcpu, Wfx

HEAD = "from minivisor.stages import Outcome\n"
OURS = 0xC600_0001


class Guest:
    """The narrow view of a persona that the reference parts take."""

    bus = Bus()

    def affinity(self, number: int) -> int | None:
        return 0 if number == 0 else None

    def inside(self, ipa: int) -> bool:
        return True


def file(folder: Path, text: str) -> Path:
    path = folder / "work.py"
    path.write_text(text, encoding="utf-8")
    return path


def hvc(function: int, immediate: int = 0) -> tuple[Hvc, Vcpu]:
    return Hvc(0x5A000000 | immediate, EC.HVC64, immediate, immediate), Vcpu(
        0, "work", (function, *[0] * 30), 0x4020_0004
    )


def answered(parts: Parts, function: int, immediate: int = 0) -> Outcome:
    return parts(Guest()).handlers[EC.HVC64](*hvc(function, immediate))


def test_the_file_answers_and_is_remembered(tmp_path: Path) -> None:
    parts = load_stage(
        file(tmp_path, HEAD + "def on_hvc(exit, vcpu):\n    return Outcome(writes={'X0': vcpu.x[0] + 1})\n")
    )
    assert answered(parts, OURS).writes == {"X0": OURS + 1}
    (call,) = parts.calls
    assert call.part == "on_hvc" and call.vcpu.x[0] == OURS and call.outcome.writes == {"X0": OURS + 1}
    assert parts.where("on_hvc") == "work.py:2"


def test_psci_keeps_its_answers_and_an_odd_immediate_is_the_files(tmp_path: Path) -> None:
    parts = load_stage(file(tmp_path, HEAD + "def on_hvc(exit, vcpu):\n    return Outcome(writes={'X0': 7})\n"))
    assert answered(parts, Function.VERSION).writes == {"X0": 0x1_0001}
    assert answered(parts, Function.SYSTEM_OFF).kind == "shutdown"
    assert answered(parts, 0x8600_0000).writes == {"X0": 7}
    assert answered(parts, Function.VERSION, immediate=1).writes == {"X0": 7}
    assert len(parts.calls) == 2


def test_what_the_file_does_not_define_stays_the_reference(tmp_path: Path) -> None:
    parts = load_stage(file(tmp_path, HEAD + "def on_wfi(exit, vcpu):\n    return Outcome('wait')\n"))
    stages = parts(Guest())
    assert answered(parts, OURS).writes == {"X0": to_register(-1)}
    assert stages.handlers[EC.WFX](Wfx(1 << 26, EC.WFX, 0, False), Vcpu(0, "work")) == Outcome("wait")
    assert not parts.functions.keys() - {"on_wfi"}


def test_a_field_of_stages_is_replaced(tmp_path: Path) -> None:
    parts = load_stage(file(tmp_path, "def vtimer(cval, ctl, offset, now):\n    return True, cval\n"))
    assert parts(Guest()).vtimer(5, 1, 0, 9) == (True, 5)


def test_only_the_newest_calls_are_kept(tmp_path: Path) -> None:
    parts = load_stage(file(tmp_path, HEAD + "def on_hvc(exit, vcpu):\n    return Outcome()\n"))
    handler = parts(Guest()).handlers[EC.HVC64]
    for number in range(KEPT + 5):
        handler(*hvc(OURS + number))
    assert len(parts.calls) == KEPT and parts.calls[0].vcpu.x[0] == OURS + 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def on_hvc(exit, vcpu)\n    pass\n", r"^work\.py:1: expected ':': def on_hvc\(exit, vcpu\)$"),
        ("x = 1\ny = x / 0\n", r"^work\.py:2: loading it raised ZeroDivisionError"),
        ("import nowhere_to_be_found\n", r"^work\.py:1: loading it raised ModuleNotFoundError"),
        ("def on_hcv(exit, vcpu):\n    pass\n", r"^work\.py: got no part, expected a function named one of .*on_hvc"),
        (
            "\ndef on_hvc(exit):\n    pass\n",
            r"^work\.py:2: on_hvc: got something else, expected a function \(exit, vcpu\)",
        ),
        ("on_hvc = 3\n", r"^work\.py: on_hvc: got something else"),
        ("def save():\n    pass\n", r"^work\.py:1: save: .* of 1 arguments$"),
        ("API = 9\ndef on_hvc(exit, vcpu):\n    pass\n", r"^work\.py: API: got 9, expected 1"),
        ("def flush(pending, lrs):\n    pass\n", r"^work\.py: flush: got a part that cannot be replaced yet"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(StageError, match=said) as error:
        load_stage(file(tmp_path, text))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"nothing\.py: got No such file"):
        load_stage(tmp_path / "nothing.py")
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StageError, match="not UTF-8 text"):
        load_stage(tmp_path / "binary.py")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return None", r"^work\.py:2: on_hvc returned: got None, expected an Outcome"),
        ("return Outcome('resumed')", r"^work\.py:2: on_hvc: kind: got 'resumed', expected one of resume, wait"),
        ("return Outcome(writes={'x0': 1})", r"^work\.py:2: on_hvc writes: got 'x0', expected X0 to X30, or PC"),
        ("return Outcome(writes={'X0': -1})", r"^work\.py:2: on_hvc: X0 =: got -1, .*to_register\(-1\)"),
        ("return Outcome(writes={'X0': 1 << 64})", r"^work\.py:2: on_hvc: X0 =: got 18446744073709551616"),
        ("return Outcome(writes={'X0': 1.5})", r"^work\.py:2: on_hvc: X0 =: got 1\.5"),
        ("z = 0\n    return vcpu.nothing", r"^work\.py:4: on_hvc raised AttributeError: 'Vcpu' object has no"),
    ],
)
def test_an_answer_outside_the_contract_is_one_line(tmp_path: Path, body: str, said: str) -> None:
    parts = load_stage(file(tmp_path, f"{HEAD}def on_hvc(exit, vcpu):\n    {body}\n"))
    with pytest.raises(StageError, match=said):
        answered(parts, OURS)
    assert not parts.calls


def test_the_line_is_the_files_even_when_somebody_elses_code_raised(tmp_path: Path) -> None:
    text = (
        HEAD + "import json\ndef helper():\n    return json.loads('{')\ndef on_hvc(exit, vcpu):\n    return helper()\n"
    )
    with pytest.raises(StageError, match=r"^work\.py:4: on_hvc raised JSONDecodeError"):
        answered(load_stage(file(tmp_path, text)), OURS)

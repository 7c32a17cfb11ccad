"""Parts of the user's own: loaded, checked, and blamed by file and line."""

import pytest

from minivisor.errors import OptionError, StageError
from minivisor.hypervisor.cost import CostModel
from minivisor.hypervisor.scheduler import FairShare, RoundRobin
from minivisor.phone.parts import blame, load_cost_model, load_handlers, load_module, load_scheduler
from minivisor.phone.phone import Phone
from minivisor.stages import Hvc, Outcome, Vcpu

MS = 1_000_000


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "mine.py"
        path.write_text(text)
        return str(path)

    return write


def test_a_scheduler_of_ones_own_runs_the_phone(file):
    path = file("class Mine:\n    calls = 0\n    def next(self, now, vcpus):\n        Mine.calls += 1\n"
                "        return next(((v.index, 1_000_000) for v in vcpus if v.runnable), None)\n")  # fmt: skip
    scheduler = load_scheduler(f"{path}:Mine", 5 * MS)
    phone = Phone(scheduler=scheduler).run("100ms")
    assert all(b"MMU on" in persona.console for persona in phone.personas)
    assert scheduler._policy.calls > 10


def test_a_constructor_that_wants_the_slice_gets_it(file):
    path = file(
        "class Mine:\n    def __init__(self, slice=1):\n        self.slice = slice\n    def next(self, now, vcpus): ...\n"
    )
    assert load_scheduler(f"{path}:Mine", 7)._policy.slice == 7


def test_ours_go_by_name():
    assert isinstance(load_scheduler("fair-share", MS), FairShare)
    assert isinstance(load_scheduler("round-robin", MS), RoundRobin)


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("class Mine:\n    pass\n", "Mine", r"mine\.py:1: Mine, expected a class with next"),
        ("class Mine:\n    def next(self): ...\n", "Mine", "expected a class with next"),
        ("Mine = 3\n", "Mine", "expected a class with next"),
        ("class Other: ...\n", "Mine", r"mine\.py:Mine, expected a name defined there \(Other\)"),
        ("class Mine:\n    def __init__(self, a): ...\n    def next(self, now, vcpus): ...\n", "Mine",
         r"can be made with Mine\(\)"),
        ("class Mine:\n    def __init__(self):\n        1/0\n    def next(self, now, vcpus): ...\n", "Mine",
         r"mine\.py:3: __init__ raised ZeroDivisionError"),
        ("x = (\n", "Mine", r"mine\.py:1 \(SyntaxError"),
        ("\n1/0\n", "Mine", r"mine\.py:2: <module> raised ZeroDivisionError"),
        ("import sys; sys.exit(0)\n", "Mine", r"mine\.py:1: <module> raised SystemExit"),
        ("API = 99\n", "Mine", "for API 99, expected API 1"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_one_line(file, text, name, words):
    with pytest.raises(StageError, match=words) as caught:
        load_scheduler(f"{file(text)}:{name}", MS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["nothing", "a.py:", ":Mine", "a.py:not a name"])
def test_what_names_no_part_is_refused(text):
    with pytest.raises(StageError, match=r"FILE:"):
        load_scheduler(text, MS)


@pytest.mark.parametrize("answer", ["(1, 5)", "(0, 0)", "(0, True)", "0", "(0,)", "('0', 5)", "(0, 1.5)", "[0, 5]"])
def test_an_answer_outside_the_contract_names_the_class(file, answer):
    scheduler = load_scheduler(
        f"{file(f'class Mine:{chr(10)}    def next(self, now, vcpus): return {answer}')}:Mine", MS
    )
    with pytest.raises(StageError, match=r"mine\.py:1: next\(\)"):
        scheduler.next(0, [Vcpu(0, "a"), Vcpu(1, "b", runnable=False)])


HVC = Hvc(esr=0x16 << 26, ec=0x16, iss=0, immediate=0)


def test_a_handler_is_asked_first_and_ours_answers_the_rest(file):
    path = file("from minivisor.stages import Outcome\ndef on_hvc(exit, vcpu):\n"
                "    return Outcome(writes={'X0': 42}) if vcpu.x[0] == 7 else NotImplemented\n")  # fmt: skip
    handlers = load_handlers(path)
    assert list(handlers) == [0x16]
    assert handlers[0x16](HVC, Vcpu(0, "a", x=(7,) * 31)) == Outcome(writes={"X0": 42})
    from minivisor.hypervisor.reference import reference
    from minivisor.phone.parts import stages_with

    phone = Phone().run("1ms")
    parts = stages_with(handlers)(phone.personal)
    version = Vcpu(0, "a", x=(0x8400_0000,) + (0,) * 30)
    assert parts.handlers[0x16](HVC, version) == reference(phone.personal).handlers[0x16](HVC, version)
    assert parts.handlers[0x01] is not parts.handlers[0x16]


def test_both_kinds_of_abort_are_one_function_and_numbers_go_too(file):
    assert set(load_handlers(file("def on_abort(exit, vcpu): ...\ndef f(a, b): ...\nHANDLERS = {0x3C: f}\n"))) == {
        0x20,
        0x24,
        0x3C,
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "def on_hvc(exit): ...\n",
        "on_hvc = 3\n",
        "HANDLERS = {64: print}\n",
        "HANDLERS = [1]\n",
        "def on_nothing(a, b): ...\n",
    ],
)
def test_a_file_without_handlers_is_refused(file, text):
    with pytest.raises(StageError, match=r"mine\.py"):
        load_handlers(file(text))


@pytest.mark.parametrize(
    "answer",
    [
        "None",
        "3",
        "Outcome('nonsense')",
        "Outcome(writes={'X31': 0})",
        "Outcome(writes={'X0': 'a'})",
        "Outcome(writes={'X0': -1})",
        "Outcome('on')",
    ],
)
def test_an_outcome_outside_the_contract_names_the_function(file, answer):
    path = file(f"from minivisor.stages import Outcome\n\ndef on_hvc(exit, vcpu): return {answer}\n")
    with pytest.raises(StageError, match=r"mine\.py:3: on_hvc\(\): got"):
        load_handlers(path)[0x16](HVC, Vcpu(0, "a"))


def test_blame_finds_the_last_line_of_the_users_code_through_our_wrapping(file):
    path = file("def f():\n    return {}['k']\n")
    with pytest.raises(KeyError) as caught:
        load_module("--handlers", path).f()
    wrapped = StageError("something of ours")
    wrapped.__cause__ = caught.value
    assert str(blame(wrapped, path)) == f"{path}:2: f raised KeyError: 'k'"
    assert blame(wrapped, "other.py") is None


def test_cost_models(file):
    path = file("from minivisor.hypervisor.cost import CostModel\nMINE = CostModel('mine', exit=5)\nNOT = 3\n")
    assert load_cost_model(f"{path}:MINE") == CostModel("mine", exit=5)
    assert load_cost_model("zero") == CostModel()
    with pytest.raises(StageError, match="expected a CostModel"):
        load_cost_model(f"{path}:NOT")
    with pytest.raises(OptionError, match="unknown"):
        load_cost_model("nix")


def test_a_file_may_import_its_neighbour_and_leaves_the_path_alone(tmp_path):
    import sys

    (tmp_path / "neighbour_of_mine.py").write_text("VALUE = 5\n")
    (tmp_path / "mine.py").write_text("from neighbour_of_mine import VALUE\n")
    before = list(sys.path)
    assert load_module("--handlers", str(tmp_path / "mine.py")).VALUE == 5
    assert sys.path == before

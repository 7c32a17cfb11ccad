"""Lab 01 as an instructor needs it: the solution passes, and what is wrong fails with words about the guest, not us."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "labs" / "01-a-new-hypercall"
SOLUTION = Path(__file__).with_name("solutions") / "01.py"


@pytest.fixture(scope="module")
def public() -> ModuleType:
    """test_public.py as a module: its checks, without a second pytest around them."""
    spec = importlib.util.spec_from_file_location("lab_01_public", LAB / "test_public.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def failures(public: ModuleType, work: Path) -> dict[str, str]:
    """Test -> what it said, for each public test that fails with the parts in `work`."""
    run, found = public.boot(work), {}
    for name in [name for name in vars(public) if name.startswith("test_")]:
        try:
            getattr(public, name)(run)
        except pytest.fail.Exception as failure:
            found[name] = str(failure)
    return found


def test_plain_pytest_in_a_checkout_tests_the_file_it_is_told_to() -> None:
    """What an instructor's script does; what a student does is in test_lab_01_notebook.py."""
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "MINIVISOR_WORK": str(SOLUTION)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(LAB)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "5 passed" in done.stdout, done.stdout + done.stderr


# name, (what the solution says, what the bug says), the test that must catch it, what that test must say
BUGS = [
    (
        "the answer in the wrong register",
        ('{"X0": vcpu.consumed}', '{"X1": vcpu.consumed}'),
        {"test_the_answer_is_in_x0", "test_no_other_register_changes", "test_the_charts_show_three_quarters_and_one"},
        "got       resume, X1 = ",
    ),
    (
        "unknown calls are forgotten",
        ('{"X0": to_register(ReturnCode.NOT_SUPPORTED)}', "{}"),
        {"test_an_unknown_call_is_not_supported"},
        "NOT_SUPPORTED: it asked for 0xc600007f",
    ),
    (
        "PC is advanced as after a trapped instruction",
        ('{"X0": to_register(ReturnCode.NOT_SUPPORTED)}', '{"X0": (1 << 64) - 1, "PC": vcpu.pc + 4}'),
        {"test_the_guest_goes_on_at_the_next_instruction"},
        "where the hardware already points; PC not written",
    ),
    (
        "every call gets the same answer",
        ("== HOW_LONG_HAVE_I_RUN", "!= 1"),
        {"test_an_unknown_call_is_not_supported"},
        "X0 = -1",
    ),
    (
        "microseconds",
        ("vcpu.consumed}", "vcpu.consumed // 1000}"),
        {"test_the_answer_is_in_x0", "test_the_charts_show_three_quarters_and_one"},
        "which is vcpu.consumed in ns",
    ),
]


@pytest.mark.parametrize(("change", "caught", "words"), [row[1:] for row in BUGS], ids=[row[0] for row in BUGS])
def test_a_seeded_bug_is_caught_where_it_is(
    public: ModuleType, tmp_path: Path, change: tuple[str, str], caught: set[str], words: str
) -> None:
    source = SOLUTION.read_text(encoding="utf-8")
    assert source.count(change[0]) == 1
    work = tmp_path / "work.py"
    work.write_text(source.replace(*change), encoding="utf-8")
    failed = failures(public, work)
    assert set(failed) == caught
    assert any(words in said and "hvc #0" in said and "work.py:" in said for said in failed.values())


def test_code_that_raises_is_one_line_with_its_own_line_number(public: ModuleType, tmp_path: Path) -> None:
    work = tmp_path / "work.py"
    work.write_text("def on_hvc(exit, vcpu):\n    return vcpu.x[99]\n")
    with pytest.raises(pytest.fail.Exception, match=r"work\.py:2: on_hvc raised IndexError: tuple index out of range$"):
        public.boot(work)

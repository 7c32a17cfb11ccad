"""The scoreboard: which tests a folder holds, and what is made of the word each of them says."""

import json

import pytest

from minivisor import cli
from minivisor.bench.suite import LONERS, read_suite, run_test
from minivisor.errors import OptionError
from tests.machine import a64

UART, SYSTEM_OFF = 0x0900_0000, 0x8400_0008
CONFIGURATION = """
# a comment
[first]
file = good.flat
smp = $((($MAX_SMP < 3)?$MAX_SMP:3))
test_args = 'one two'
qemu_params = -machine gic-version=3 -m 128
groups = nodefault
[second]
file = good.flat
smp = $MAX_SMP
#[third]
[gone]
file = missing.flat
"""


def image(text, off=True):
    """A flat image that prints a text and powers off, or does not."""
    words = [*a64.MOV(1, UART)]
    for byte in text.encode():
        words += [a64.MOVZ(2, byte), a64.STRW(2, 1)]
    words += [*a64.MOV(0, SYSTEM_OFF), a64.HVC(0)] if off else [a64.B(0)]
    return b"".join(word.to_bytes(4, "little") for word in words)


@pytest.fixture
def folder(tmp_path):
    said = {"good": "PASS: a\nPASS: b\n\nEXIT: STATUS=1\n", "skip": "SKIP: no PMU\nEXIT: STATUS=77\n"}
    said |= {"bad": "FAIL: c\nEXIT: STATUS=3\n", "odd": "EXIT: STATUS=127\n", "mute": "good bye\n"}
    for name, text in said.items():
        (tmp_path / f"{name}.flat").write_bytes(image(text))
    (tmp_path / "stuck.flat").write_bytes(image("PASS: so far\n", off=False))
    (tmp_path / "unittests.cfg").write_text(CONFIGURATION)
    return tmp_path


def test_the_list_says_how_each_is_called_and_the_rest_runs_as_it_is(folder):
    tests = {test.name: test for test in read_suite(folder, 4)}
    first, second = tests["first"], tests["second"]
    assert (first.arguments, first.cpus, first.gic, first.memory) == ("one two", 3, 3, 128 << 20)
    assert (second.arguments, second.cpus, second.gic) == ("", 4, 2)
    assert set(tests) == {"first", "second", "bad", "mute", "odd", "skip", "stuck"}
    assert {test.cpus for test in read_suite(folder, 1)} == {1}


def test_an_image_that_the_list_leaves_out_may_need_arguments_to_mean_anything(tmp_path):
    (tmp_path / "spinlock-test.flat").write_bytes(image("x"))
    (test,) = read_suite(tmp_path, 2)
    assert (test.arguments, test.cpus) == (LONERS["spinlock-test.flat"][0], 2)


def test_a_folder_without_images_is_said_to_be_one(tmp_path):
    for given in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(OptionError, match="conformance"):
            read_suite(given, 4)


def test_the_verdict_is_the_images_own(folder):
    results = {test.name: run_test(test, 20_000_000, "zero") for test in read_suite(folder, 1)}
    verdicts = {name: (result.verdict, result.status) for name, result in results.items()}
    assert verdicts == {
        "first": ("PASS", 1), "second": ("PASS", 1), "skip": ("SKIP", 77), "bad": ("FAIL", 3), "odd": ("ERROR", 127),
        "mute": ("NONE", None), "stuck": ("CUT", None),
    }  # fmt: skip
    assert results["first"].lines == {"PASS": 2} and results["stuck"].lines == {"PASS": 1}
    assert results["stuck"].virtual >= 20_000_000 > results["mute"].virtual


def test_one_that_waits_to_be_migrated_gets_a_key_and_the_scoreboard_says_so(tmp_path):
    empty = 0x90  # UARTFR.TXFE and RXFE
    poll = [*a64.MOV(3, UART), a64.LDRW(4, 3, 0x18), a64.SUBS(5, 4, empty), a64.CBNZ(5, 8), a64.B(-12)]
    said = image("Now migrate the VM\n", off=False)[:-4]
    rest = image("EXIT: STATUS=1\n")
    (tmp_path / "moved.flat").write_bytes(said + b"".join(word.to_bytes(4, "little") for word in poll) + rest)
    result = run_test(read_suite(tmp_path, 1)[0], 50_000_000, "polling")
    assert (result.verdict, result.asked_to_migrate) == ("PASS", True)


def test_the_command_prints_a_line_a_test_and_its_status_is_the_suites(folder, capsys):
    assert cli.run(["conformance", str(folder), "--only", "first|skip"]) == 0
    out = capsys.readouterr().out
    assert "PASS  first" in out and "STATUS=77" in out and "1 PASS, 1 SKIP; cost model polling" in out
    assert cli.run(["conformance", str(folder), "--only", "bad|first", "--json"]) == 1
    board = json.loads(capsys.readouterr().out)
    assert board["verdicts"] == {"PASS": 1, "FAIL": 1} and board["tests"][0]["digest"]


@pytest.mark.parametrize("extra", [["--only", "["], ["--only", "nobody"], ["--cost-model", "x"], ["--for", "soon"]])
def test_a_wrong_option_is_one_line_and_status_2(folder, capsys, extra):
    assert cli.run(["conformance", str(folder), *extra]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1

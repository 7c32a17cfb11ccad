"""The command line as a shell sees it: what it imports, what it prints where, and its exit status."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import types
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from minivisor import cli, errors
from minivisor.commands import checkout

HEAVY = ("numba", "numpy", "unicorn", "textual", "PIL", "capstone", "jupyterlab", "pytest")

Fake = Callable[[Callable[[], None]], None]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put a subcommand `fake` with the given body into the table."""

    def install(body: Callable[[], None]) -> None:
        module = types.ModuleType("minivisor.commands.fake")
        module.command = click.command("fake")(body)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "minivisor.commands.fake", module)
        monkeypatch.setitem(cli.COMMANDS, "fake", "Do as the test says.")

    return install


def test_help_imports_nothing_heavy() -> None:
    script = f"import sys; from minivisor.cli import run; run(['--help']); print(*set({HEAVY}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
    assert all(name in done.stdout for name in cli.COMMANDS)


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_of_the_table_exists_and_teaches(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert find_spec(f"minivisor.commands.{name}"), f"minivisor/commands/{name}.py is missing"
    if name != "test":  # everything after `minivisor test` belongs to pytest
        assert cli.run([name, "--help"]) == 0
        assert f"minivisor {name}" in capsys.readouterr().out


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 0
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["nonsense"], "'nonsense'"), (["--nonsense"], "'--nonsense'"), (["study", "--what"], "minivisor study --help")],
)
def test_a_wrong_word_is_one_line_and_status_2(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert word in printed.err


@pytest.mark.parametrize("name", sorted(set(errors.__all__) - {"fault", "writing"}))
def test_every_error_of_ours_is_one_line_and_status_2(
    name: str, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> None:
        raise getattr(errors, name)("guest image: got\na text of\nthree lines")

    fake(body)
    assert cli.run(["fake"]) == 2
    assert capsys.readouterr().err == "minivisor: guest image: got a text of three lines\n"


def test_an_error_that_is_not_the_users_keeps_its_traceback(fake: Fake) -> None:
    def body() -> None:
        raise ZeroDivisionError

    fake(body)
    with pytest.raises(ZeroDivisionError):
        cli.run(["fake"])


def test_control_c_is_130(fake: Fake) -> None:
    def body() -> None:
        raise KeyboardInterrupt

    fake(body)
    assert cli.run(["fake"]) == 130


def test_a_command_chooses_its_own_status(fake: Fake) -> None:
    fake(lambda: click.get_current_context().exit(7))
    assert cli.run(["fake"]) == 7


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "minivisor", "--help"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_message_names_component_value_and_expectation() -> None:
    text = errors.fault("--memory", 3, "a multiple of 2 MiB", "minivisor run --help")
    assert text == "--memory: got 3, expected a multiple of 2 MiB (see minivisor run --help)"
    assert errors.fault("board", "pear", "a or b") == "board: got pear, expected a or b"


def test_tests_need_a_checkout_and_say_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(checkout, "find", lambda: None)
    assert cli.run(["test", "-k", "anything"]) == 2
    assert "expected a checkout" in capsys.readouterr().err


def test_arguments_of_test_go_to_pytest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_two.py").write_text("def test_a(): pass\ndef test_b(): assert False\n")
    monkeypatch.setattr(checkout, "find", lambda: tmp_path)
    assert cli.run(["test", "-q", "-k", "test_a", "-p", "no:cacheprovider"]) == 0
    assert cli.run(["test", "-q", "-p", "no:cacheprovider"]) == 1


def test_a_start_is_not_searched_for_garbage_every_few_hundred_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    before = gc.get_threshold()
    monkeypatch.setattr(cli, "run", lambda _arguments: gc.get_threshold()[0] < 100_000)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
    finally:
        gc.set_threshold(*before)

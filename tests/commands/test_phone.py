"""`minivisor phone` without a terminal, in this process: what it prints where, what it writes, what it refuses."""

import json

import pytest
from PIL import Image

from minivisor import cli, guests
from minivisor.trace.store import Trace


@pytest.fixture
def phone(capsys):
    def run(*arguments):
        status = cli.run(["phone", *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_headless_sums_up(phone, tmp_path):
    png, trace = tmp_path / "a.png", tmp_path / "a.trace"
    status, out, err = phone(
        "--headless", "--for", "200ms", "--personal", "Ada,teal", "--png", str(png), "--trace", str(trace)
    )
    assert (status, err) == (0, "")
    assert out.startswith("0.200 s virtual") and "Ada" in out and "Trapped WFI or WFE" in out
    with Image.open(png) as image:
        assert image.size == (320, 512)
    loaded = Trace.load(trace)
    assert loaded.digest()[:16] in out and loaded.metadata.personas == ("Ada", "work")


def test_json_is_all_there_is_on_stdout(phone):
    status, out, _err = phone("--headless", "--for", "150ms", "--json", "--cost-model", "kvm-arm-2016", "--seed", "7")
    data = json.loads(out)
    assert status == 0 and data["cost_model"] == "kvm-arm-2016" and data["seed"] == 7
    assert [persona["name"] for persona in data["personas"]] == ["personal", "work"]


def test_a_script_plays_and_two_runs_are_one(phone):
    arguments = (
        "--headless",
        "--for",
        "300ms",
        "--type",
        "ab@150ms",
        "--switch",
        "180ms",
        "--type",
        "P@200ms",
        "--json",
    )
    (_, first, _), (status, second, _) = phone(*arguments), phone(*arguments)
    one, two = json.loads(first), json.loads(second)
    assert one["digest"] == two["digest"] and one["instructions"] == two["instructions"]
    personal, work = two["personas"]
    assert status == 0 and personal["status"] == "running" and work["status"] == "stopped" and work["foreground"]
    assert work["report"].startswith("persona 'work' stopped")


def test_without_a_terminal_it_is_headless_and_says_so(phone):
    status, out, err = phone("--for", "10ms")
    assert status == 0 and out.startswith("0.010 s virtual")
    assert err == "phone: no terminal here, so headless, for 10ms (see --headless)\n"


def test_the_engines_of_the_scheduler_can_be_chosen(phone):
    status, out, _ = phone(
        "--headless", "--for", "20ms", "--scheduler", "round-robin", "--list-registers", "1", "--mmu", "unicorn"
    )
    assert status == 0 and "mmu unicorn" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--for", "3"], "duration: got 3"),
        (["--work", "Ada,tael"], "colour: got tael"),
        (["--memory", "3M"], "2 MiB"),
        (["--memory", "8G"], "from 4 MiB to 4 GiB"),
        (["--type", "x@3s"], "a moment before the end at 1 s"),
        (["--switch", "1s"], "a moment before the end at 1 s"),
        (["--type", "@1ms"], "--type: got @1ms"),
        (["--png", "nowhere/a.png"], "a folder that exists"),
        (["--trace", "nowhere/a"], "a folder that exists"),
        (["--board", "z"], "board: 'z'"),
        (["--mmu", "z"], "mmu 'z'"),
        (["--cost-model", "z"], "cost model: 'z'"),
        (["--scheduler", "z"], "--scheduler: got z"),
        (["--handlers", "z"], "--handlers: got z"),
        (["--guest", "z"], "guest image: z"),
        (["--list-registers", "17"], "--list-registers"),
        (["--slice", "0ms"], "--slice"),
        (["extra"], "extra"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_2(phone, arguments, words):
    status, out, err = phone("--headless", *arguments)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1 and words in err and err.startswith("minivisor")


def test_a_part_that_fails_while_running_names_its_line(phone, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("class Mine:\n    def next(self, now, vcpus):\n        return vcpus[9]\n")
    status, out, err = phone("--headless", "--scheduler", f"{file}:Mine")
    assert (status, out) == (2, "") and err == f"minivisor: {file}:3: next raised IndexError: list index out of range\n"
    with pytest.raises(IndexError):
        phone("--headless", "--scheduler", f"{file}:Mine", "--traceback")


def test_kernels_of_their_own_talk_on_named_lines(capsys):
    hello = str(guests.path("hello"))
    arguments = ["--headless", "--for", "20ms", "--memory", "8M", "--personal", "Ada", "--personal-guest", hello]
    assert cli.run(["phone", *arguments, "--work-guest", hello, "--json"]) == 0
    captured = capsys.readouterr()
    assert " Ada │ " in captured.err and "work │ " in captured.err
    assert [side["name"] for side in json.loads(captured.out)["personas"]] == ["Ada", "work"]


def test_a_kernel_that_is_not_there_is_one_line(capsys):
    assert cli.run(["phone", "--headless", "--work-guest", "nowhere,initrd"]) == 2
    assert capsys.readouterr().err.count("\n") == 1

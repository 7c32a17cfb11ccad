"""Every kind of input is in the trace, and images, seed and trace repeat the run; another input, image or option does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minivisor import Phone, cli, guests
from minivisor.commands.outputs import DIFFERENT
from minivisor.errors import OptionError
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, Persona, PersonaSettings
from minivisor.machine.board import Machine
from minivisor.phone.replay import Replay, mark_end
from minivisor.phone.session import Session
from minivisor.phone.setup import note
from minivisor.platform.image import load_image
from minivisor.platform.virtio.console import Console
from minivisor.platform.virtio.input import Keyboard, Touch
from minivisor.platform.virtio.neighbour import Neighbour
from minivisor.platform.virtio.net import Net
from minivisor.platform.virtio.switch import Switch, Tap
from minivisor.trace.records import InputEvent, InputRecord
from minivisor.trace.store import CHUNK, Trace
from tests.hypervisor.test_virtio import drive

MIB, MS = 1 << 20, 1_000_000
PERSONA = str(guests.path("persona"))
BROADCAST = b"\xff" * 6 + b"\x02" + bytes(5) + b"\x88\xb5"


class Wired:
    """A persona with a device of each kind that something comes for, its drivers ready; the naive driver is its kernel."""

    def __init__(self, limit: int = 500_000) -> None:
        self.hypervisor = Hypervisor(Machine(), trace=Trace(limit=limit))
        self.hypervisor.trace.metadata = replace(Hypervisor(Machine()).trace.metadata)
        switch = Switch()
        self.keyboard, self.touch, self.net, self.console = Keyboard(), Touch(160, 240), Net(switch), Console()
        self.tap, self.neighbour = switch.tap(), Neighbour(switch)
        devices = (self.keyboard, self.touch, self.net, self.console)
        image = load_image(PERSONA, RAM, 16 * MIB)
        self.persona = self.hypervisor.add(PersonaSettings("guest", memory=16 * MIB), image, devices)
        self.drivers = [drive(self.persona, slot) for slot in range(4)]
        for driver in self.drivers:
            for _ in range(16):
                driver.queues[0].add([], [1600])
            driver.kick(0)
        self.session = Session(self.hypervisor)

    def heard(self) -> list[list[bytes]]:
        """What each driver found in its buffers."""
        return [[bytes(done.data[: done.length]) for done in driver.queues[0].collect()] for driver in self.drivers]


def lived(wired: Wired, letter: int = 30, x: int = 5, payload: bytes = bytes(100), typed: bytes = b"k") -> Wired:
    """A run with an input of every kind, at odd moments."""
    wired.session.advance(1_234_567)
    wired.keyboard.key(letter, True)
    wired.session.advance(2 * MS)
    wired.touch.touch(x, 6, at=3 * MS)
    wired.console.type(typed)
    wired.session.advance(4 * MS)
    wired.tap.send(BROADCAST + payload)
    wired.hypervisor.key(wired.persona, ord("u"))
    wired.session.advance(9_876_543)
    mark_end(wired.hypervisor.trace, wired.hypervisor.now)
    return wired


def test_a_run_with_every_kind_of_input_is_repeated(tmp_path: Path) -> None:
    first = lived(Wired())
    assert first.net.lost == 0
    first.hypervisor.trace.save(tmp_path / "run.trace")
    replay, again = Replay.load(tmp_path / "run.trace"), Wired()
    again.session.plan(replay.steps)
    again.session.advance(replay.end)
    assert replay.compare(again.hypervisor) is None
    heard = first.heard()
    assert again.heard() == heard and all(heard) and heard[2][0][12:] == BROADCAST + bytes(100)
    events = {r.event for r in first.hypervisor.trace if isinstance(r, InputRecord)}
    assert events == set(InputEvent)


@pytest.mark.parametrize("other", [{"letter": 31}, {"x": 6}, {"payload": b"\1" * 100}, {"typed": b"l"}])
def test_another_input_is_another_digest(other: dict[str, object]) -> None:
    assert lived(Wired(), **other).hypervisor.trace.digest() != lived(Wired()).hypervisor.trace.digest()  # type: ignore[arg-type]


def test_what_a_guest_or_its_neighbour_sends_is_not_sent_twice() -> None:
    """The log has the frame, and that it is not from outside: whoever sent it does so again."""
    wired = Wired()
    mac = wired.net.mac
    who_has = bytes.fromhex("0001080006040001") + mac + bytes((10, 0, 2, 1)) + bytes(6) + bytes((10, 0, 2, 2))
    wired.drivers[2].request([bytes(12), b"\xff" * 6 + mac + b"\x08\x06" + who_has], [], queue=1)
    wired.session.advance(2 * MS)
    (answer,) = [r for r in wired.hypervisor.trace if isinstance(r, InputRecord)]
    assert (answer.event, answer.pieces, answer.code) == (InputEvent.FRAME, 0, 42)
    mark_end(wired.hypervisor.trace, wired.hypervisor.now)
    assert Replay(wired.hypervisor.trace).steps == []
    assert isinstance(wired.tap, Tap) and wired.tap.outside


def test_inputs_outlive_the_ring(tmp_path: Path) -> None:
    """A phone that runs on until its ring has lost its first records can still be repeated from what is left."""

    def phone() -> Phone:
        made = Phone(slice="10us")
        made.hypervisor.trace._keep = 1
        return made

    first = phone()
    first.type("S", at=5 * MS)
    first.run("6ms").switch()
    first.type("S")
    first.run("50ms")
    trace = first.trace
    assert trace.lost >= CHUNK and len(trace.log) > 2 and trace.log_lost == 0
    mark_end(trace, first.now)
    trace.save(tmp_path / "long.trace")
    loaded = Trace.load(tmp_path / "long.trace")
    assert (loaded.log == trace.log).all() and loaded.lost == trace.lost
    replay, again = Replay(loaded), phone()
    assert len(replay.steps) == 3
    again.session.plan(replay.steps)
    again.session.advance(replay.end)
    assert replay.compare(again.hypervisor) is None and again.trace.digest() == trace.digest()


def test_a_log_that_does_not_end_is_given_up_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minivisor.trace.store.LOG", 100)
    trace = Trace(limit=CHUNK)
    for number in range(3 * CHUNK):
        trace.input(number, 0, InputEvent.KEY, 1)
    assert trace.log_lost and len(trace.log) <= 100


# ── the commands ──


def run(*arguments: object) -> int:
    return cli.run(["run", PERSONA, "--headless", *map(str, arguments)])


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("disks") / "data.img"
    made.write_bytes(np.arange(4096, dtype=np.uint8).tobytes())
    return made


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, disk: Path) -> Path:
    """`minivisor run` with keys on the console, a tap, a pressed key, a network and a disk."""
    made = tmp_path_factory.mktemp("runs") / "run.trace"
    inputs = ["--type", "hi@120ms", "--tap", "50,60@130ms", "--press", "A@140ms"]
    assert run("--for", "200ms", "--input", "--net", "--disk", f"{disk}:ro", *inputs, "--trace", made) == 0
    return made


def test_run_replays(recording: Path, disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = ["--scheduler", "fair-share", "--slice", "5000us", "--mmu", "unicorn"]  # in other words, or on the other engine
    assert run("--input", "--net", "--disk", f"{disk}:ro", *same, "--replay", recording) == 0
    assert "replay: the same run, record by record" in capsys.readouterr().err
    kinds = [record.event for record, _ in Trace.load(recording).inputs() if isinstance(record, InputRecord)]
    assert kinds == [InputEvent.KEY] * 2 + [InputEvent.TOUCH] + [InputEvent.KEYBOARD] * 4 + [InputEvent.TOUCH]


def with_other(path: Path, found: Path) -> Path:
    found.write_bytes(path.read_bytes()[::-1])
    return found


REFUSED: dict[str, tuple[Callable[[Path, Path], list[object]], str]] = {
    "image": (lambda disk, _tmp: ["--disk", f"{disk}:ro", guests.path("hello")], "personas"),
    "board": (lambda disk, _tmp: ["--disk", f"{disk}:ro", "--board", "b"], "board b"),
    "slice": (lambda disk, _tmp: ["--disk", f"{disk}:ro", "--slice", "2ms"], "slice 2000000 ns"),
    "memory": (lambda disk, _tmp: ["--disk", f"{disk}:ro", "--memory", "32M"], "32 MiB"),
    "list registers": (lambda disk, _tmp: ["--disk", f"{disk}:ro", "--list-registers", "1"], "list registers 1"),
    "no disk": (lambda _disk, _tmp: [], "devices of persona 0"),
    "disk": (lambda disk, tmp: ["--disk", f"{with_other(disk, tmp / 'data.img')}:ro"], "devices of persona 0"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_log_of_something_else_is_refused_in_one_line(
    recording: Path, disk: Path, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, words = REFUSED[what]
    options = list(map(str, given(disk, tmp_path)))
    kernel = options.pop() if what == "image" else PERSONA
    assert cli.run(["run", kernel, "--input", "--net", *options, "--replay", str(recording)]) == 2
    captured = capsys.readouterr()
    assert words in captured.err and "as in the recording" in captured.err and captured.err.count("\n") == 1


def test_another_kernel_of_the_same_name_is_refused(recording: Path, disk: Path, tmp_path: Path) -> None:
    other = tmp_path / "persona"
    other.write_bytes(guests.path("hello").read_bytes())
    for persona, words in ((Path(PERSONA), None), (other, "image")):
        hypervisor = Hypervisor(Machine())
        hypervisor.add(PersonaSettings("persona"), load_image(persona, RAM, 64 * MIB))
        hypervisor.trace.metadata = replace(hypervisor.trace.metadata, extra={"clock": "virtual"})
        note(hypervisor)
        recorded = Trace.load(recording)
        kept = {k: v for k, v in recorded.metadata.extra.items() if "image" in k or k in ("clock", "end")}
        recorded.metadata = replace(recorded.metadata, extra=kept)
        if words is None:
            Replay(recorded).check(hypervisor)
        else:
            with pytest.raises(OptionError, match=words):
                Replay(recorded).check(hypervisor)


def test_a_changed_input_is_another_run(
    recording: Path, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = Trace.load(recording)
    changed = Trace(trace.metadata)
    for words in trace.texts:
        changed.text(words)
    for record in trace:
        other = isinstance(record, InputRecord) and record.code == ord("h")
        changed.append(replace(record, code=ord("g")) if other else record)  # type: ignore[arg-type]
    changed.save(tmp_path / "changed.trace")
    assert run("--input", "--net", "--disk", f"{disk}:ro", "--replay", tmp_path / "changed.trace") == DIFFERENT
    assert "replay: another run" in capsys.readouterr().err


def test_the_phone_replays_taps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "phone.trace"
    inputs = ["--tap", "80,100@20ms", "--tap", "80,4@30ms", "--press", "z@40ms"]
    assert cli.run(["phone", "--headless", "--input", "--for", "120ms", *inputs, "--trace", str(trace)]) == 0
    who = [(record.kind.name, record.vcpu) for record, _ in Trace.load(trace).inputs()]
    assert who == [("FOREGROUND", 0), ("INPUT", 0), ("FOREGROUND", 1), ("INPUT", 1), ("INPUT", 1), ("INPUT", 0)]
    assert cli.run(["phone", "--input", "--replay", str(trace)]) == 0
    assert "replay: the same run" in capsys.readouterr().err
    assert cli.run(["phone", "--replay", str(trace)]) == 2
    assert "devices of persona 0 none" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", [["--tap", "x"], ["--tap", "1,2@soon,3"], ["--press", "a"], ["--press", "@1ms", "--input"]]
)
def test_taps_and_presses_that_mean_nothing_are_one_line(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["phone", "--headless", *option]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_tap_without_a_touch_screen_says_so() -> None:
    phone = Phone()
    phone.run("1ms")
    assert "has no touch screen" in phone.tap(10, 100) and phone.tap(10, 3) == "work was brought to the front"
    assert isinstance(phone.personal, Persona) and phone.foreground is phone.work

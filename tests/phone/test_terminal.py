"""The live view: what is shown, which keys are whose, and how it ends."""

import asyncio
import time

import pytest
from PIL import Image
from textual import events

from minivisor.phone import sidebar
from minivisor.phone.phone import Phone
from minivisor.phone.terminal import Help, Panel, PhoneApp, bytes_of
from minivisor.phone.worker import Worker


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Textual's tests wait a second for a process that does nothing; ours runs a phone beside."""

    async def yield_(*_times):
        await asyncio.sleep(0.02)

    monkeypatch.setattr("textual.app.wait_for_idle", yield_)
    monkeypatch.setattr("textual.pilot.wait_for_idle", yield_)


@pytest.fixture
def phone():
    return Phone({"name": "Ada", "colour": "teal"}, {"name": "Ada at work"}).run("200ms")


async def until(pilot, condition):
    """Wait for something the worker must bring about; how long a busy host takes for it does not matter."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    pilot.app.look()
    pilot.app.show_numbers()
    await pilot.pause()


def view(phone, script, size=(100, 32), limit=None):
    """Show a phone to `script(pilot, app)` and return the app when it is over."""
    app = PhoneApp(Worker(phone.session, limit), limit is not None)

    async def play():
        async with app.run_test(size=size) as pilot:
            await script(pilot, app)

    try:
        asyncio.run(play())
    finally:
        app.worker.stop()
    assert app.worker.problem is None
    return app


def text(app):
    """Everything on the screen, as text."""
    return "\n".join("".join(segment.text for segment in line) for line in app.screen._compositor.render_strips())


@pytest.mark.parametrize("size", [(80, 24), (132, 43), (240, 140)])
def test_everything_is_on_the_screen(phone, size):
    async def script(pilot, app):
        await until(pilot, lambda: app.worker.snapshot.exits)
        shown = text(app)
        for words in ("Ada", "Ada at work", "in front", "running", "exits per second", "Trapped WFI or WFE", "switches/s",
                      "real time", "kernel at 0xffffff8040200000", "Tab", "F10"):  # fmt: skip
            assert words in shown, words
        panel = app.query_one(Panel)
        rows = [row for row in panel._rows if row]
        # The whole panel, as large as fits.
        assert len(rows) <= panel.size.height and len(rows) >= min(panel.size.height, 128) - 1
        assert all(sum(len(segment.text) for segment in row) <= panel.size.width for row in rows)

    view(phone, script, size)


def test_tab_switches_and_other_keys_go_to_the_front(phone):
    async def script(pilot, app):
        await pilot.press("a")
        await until(pilot, lambda: b"key 'a'" in phone.personal.console)
        await pilot.press("tab")
        await until(pilot, lambda: app.worker.snapshot.front.name == "Ada at work")
        assert str(app.query_one("#phone").border_title) == "Ada at work"
        await pilot.press("b", "space", "shift+tab", "enter", "ctrl+p")
        await until(pilot, lambda: b"key 'b'" in phone.work.console)

    view(phone, script)
    assert b"key 'b'" not in phone.personal.console and b"key 'a'" not in phone.work.console


def test_help_opens_and_any_key_closes_it_without_reaching_the_guest(phone):
    async def script(pilot, app):
        await pilot.press("f1")
        await pilot.pause()
        assert isinstance(app.screen, Help) and "Two personas, one core" in text(app)
        await pilot.press("q")
        await pilot.pause()
        assert not isinstance(app.screen, Help)
        await pilot.press("z")
        await until(pilot, lambda: b"key 'z'" in phone.personal.console)

    view(phone, script)
    assert b"key 'q'" not in phone.personal.console


def test_a_picture_is_saved_under_a_free_name(phone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "phone-1.png").write_bytes(b"mine")

    async def script(pilot, app):
        await pilot.press("f2")
        await pilot.pause()

    view(phone, script)
    assert (tmp_path / "phone-1.png").read_bytes() == b"mine"
    with Image.open(tmp_path / "phone-2.png") as image:
        assert image.size == (640, 1024)


@pytest.mark.parametrize("key", ["f10", "ctrl+c", "ctrl+q"])
def test_each_way_out(phone, key):
    async def script(pilot, app):
        await pilot.press(key)
        await pilot.pause()

    app = view(phone, script)
    assert app.return_code == 0 and not app.is_running


def test_a_limit_ends_the_view_by_itself(phone):
    async def script(pilot, app):
        deadline = time.monotonic() + 30
        while app.is_running and time.monotonic() < deadline:
            await pilot.pause(0.05)

    app = view(phone, script, limit=phone.now + 100_000_000)
    assert not app.is_running
    assert phone.now == pytest.approx(300_000_000, abs=1_000_000)


def test_a_stopped_persona_is_said_and_the_end_of_both(phone):
    async def script(pilot, app):
        await pilot.press("P")
        await until(pilot, lambda: app.worker.snapshot.personas[0].status == "stopped")
        assert "'Ada' stopped: it takes the same exception" in text(app)
        await pilot.press("tab")
        await pilot.press("O")
        await until(pilot, lambda: app.worker.over and app.worker.snapshot.personas[1].status == "off")
        await until(pilot, lambda: "both personas have ended" in text(app))
        await pilot.press("tab", "x")  # nobody left: and nothing breaks
        await pilot.pause()

    view(phone, script)


def test_keys_as_bytes():
    def key(name, character=None):
        return bytes_of(events.Key(name, character))

    assert key("a", "a") == b"a" and key("A", "A") == b"A" and key("space", " ") == b" "
    assert key("é", "é") == "é".encode()
    assert key("enter", "\r") == b"\r" and key("backspace", "\x7f") == b"\x7f" and key("escape", "\x1b") == b"\x1b"
    assert key("ctrl+a", "\x01") == b"\x01" and key("ctrl+z", "\x1a") == b"\x1a"
    assert key("up") == b"\x1b[A" and key("f5") == b"" and key("shift+tab") == b"" and key("ctrl+f5") == b""


def test_a_history_shows_whatever_is_not_nothing():
    assert sidebar.spark((0.0, 0.0001, 0.5, 1.0, 7.0), 6) == "  ▁▄██"

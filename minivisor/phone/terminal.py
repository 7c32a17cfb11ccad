"""The live view: the phone on the left, on the right what its hypervisor is doing.

    ╭ personal ───────╮   who is in front, shares of the core now and lately
    │ ▀▀▀▀ the panel  │   exits per second by class, a column each persona
    │ ▀▀▀▀ in half    │   virtual time, speed, world switches
    │ ▀▀▀▀ blocks     │   the end of each persona's console
    ╰─────────────────╯   what the keys do

Textual owns the terminal and gives it back on every way out; this module only shows snapshots (`meter.Snapshot`) and
hands keys to the thread that runs the phone (`worker.Worker`). All keys but ours go to the persona in front, as bytes.
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import ClassVar

from PIL import Image
from rich.segment import Segment
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.geometry import Region, Size
from textual.screen import ModalScreen, Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from minivisor.phone import sidebar
from minivisor.phone.blocks import fit, half_blocks
from minivisor.phone.console import ended_by_signals
from minivisor.phone.meter import Snapshot
from minivisor.phone.phone import Phone
from minivisor.phone.worker import Worker

__all__ = ["PhoneApp", "bytes_of", "show"]

FRAMES = 15  # looks at the newest snapshot in a second, for the panel
NUMBERS = 4  # and for everything else: digits that change faster cannot be read
SIDEBAR = 46  # columns that the numbers need; the phone gets what is left, up to its own size
ARROWS = {"up": b"\x1b[A", "down": b"\x1b[B", "right": b"\x1b[C", "left": b"\x1b[D"}
NAMED = {"enter": b"\r", "backspace": b"\x7f", "escape": b"\x1b", "delete": b"\x1b[3~", **ARROWS}
PICTURE_SCALE = 4

HELP = """\
[b]Two personas, one core[/b]

Each persona is an operating system of its own. Only the one in front
has the screen and the keys; both run. The strip on top of the screen
is the hypervisor's: no guest can write there, so it cannot lie.

[b]Tab[/b]  the other persona to the front     [b]F2[/b]  save a picture
[b]F10[/b]  end; so do Ctrl-C and Ctrl-Q       [b]F1[/b]  this help

Every other key goes to the persona in front. Some capitals do more:

[b]S[/b]  compute instead of sleeping; again: stop. See the shares move.
[b]P[/b]  panic: it can never go on, and is stopped with a report.
[b]W[/b]  sleep with every wake-up source off: stopped as well.
[b]B[/b]  reboot     [b]O[/b]  power off     [b]F[/b]  floating point across switches

Shares and rates are of virtual time: one instruction, one nanosecond.
[dim]any key closes this[/dim]"""


def bytes_of(event: events.Key) -> bytes:
    """What a terminal would send for a key; nothing for keys that no serial line knows."""
    if event.key in NAMED:
        return NAMED[event.key]
    if event.key.startswith("ctrl+") and len(event.key) == 6 and event.key[5].isalpha():
        return bytes([ord(event.key[5].upper()) - ord("@")])
    return event.character.encode() if event.character and event.is_printable else b""


class Panel(Widget):
    """The phone's screen in half blocks, as large as its room allows."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(id="panel")
        self._picture = snapshot.picture
        self._rows: list[list[Segment]] = []
        self._drawn: tuple[bytes, Size] | None = None

    def look(self, snapshot: Snapshot) -> None:
        """Show a new frame, if anything in it is new."""
        self._picture = snapshot.picture
        if self._drawn != (self._picture.tobytes(), self.size):
            before = self._rows
            self._draw()
            changed = [y for y, (old, new) in enumerate(zip_longest(before, self._rows)) if old != new]
            if changed:
                self.refresh(*(Region(0, self._top + y, self.size.width, 1) for y in changed))

    def _draw(self) -> None:
        width, height = self.size
        self._drawn = self._picture.tobytes(), self.size
        self._rows = half_blocks(fit(self._picture, width, height)) if width and height else []

    @property
    def _top(self) -> int:
        """Where the first row goes, for the picture to be in the middle."""
        return (self.size.height - len(self._rows)) // 2

    def on_resize(self) -> None:
        self._draw()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One row of cells, in the middle of the widget."""
        top = self._top
        if not top <= y < top + len(self._rows):
            return Strip.blank(self.size.width, self.rich_style)
        row = Strip(self._rows[y - top])
        left = (self.size.width - row.cell_length) // 2
        return Strip([Segment(" " * left, self.rich_style), *row]).adjust_cell_length(self.size.width, self.rich_style)


class PhoneScreen(Screen[None], inherit_bindings=False):
    """A screen without bindings of its own: Textual's would eat keys that belong to the guest."""


class Help(ModalScreen[None], inherit_bindings=False):
    """What the keys do, over the phone, until any key."""

    def compose(self) -> ComposeResult:
        yield Static(HELP, id="help")

    def on_key(self, event: events.Key) -> None:
        event.stop()
        self.dismiss()


class PhoneApp(App[None]):
    """The view of one worker. It ends when the user wants, or when the worker has come to its limit or failed."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "minivisor phone"
    CSS_PATH = "terminal.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "switch", "switch", priority=True),
        Binding("f1", "explain", "help", priority=True),
        Binding("f2", "picture", "picture", priority=True),
        Binding("f10,ctrl+q,ctrl+c", "quit", "end", priority=True),
    ]

    def __init__(self, worker: Worker, limited: bool = False) -> None:
        super().__init__()
        self.worker, self._limited = worker, limited
        self._shown: Snapshot | None = None
        self._frame, self._panel = Vertical(id="phone"), Panel(worker.snapshot)
        self._people, self._exits, self._clock = Static(id="people"), Static(id="exits"), Static(id="clock")
        self._consoles = [Static(classes="console") for _ in worker.snapshot.personas]
        for console, persona in zip(self._consoles, worker.snapshot.personas, strict=True):
            console.border_title = f"{persona.name}: console"
        self._exit_rows = -1
        self._keys = Static(sidebar.KEYS, id="keys")

    def get_default_screen(self) -> Screen[None]:
        """Ours, which leaves all keys alone."""
        return PhoneScreen(id="_default")

    def compose(self) -> ComposeResult:
        with Horizontal():
            with self._frame:
                yield self._panel
            with Vertical(id="side"):
                yield from (self._people, self._exits, self._clock, *self._consoles, self._keys)

    def on_mount(self) -> None:
        self.worker.start()
        self.set_interval(1 / FRAMES, self.look)
        self.set_interval(1 / NUMBERS, self.show_numbers)
        self.look()
        self.show_numbers()

    def on_resize(self, event: events.Resize) -> None:
        self._arrange(event.size)

    def _arrange(self, size: Size) -> None:
        """The phone as wide as its picture will be, the numbers the rest."""
        width = self.worker.snapshot.picture.shape[1]
        rows = max(size.height - 2, 2)
        room = max(size.width - SIDEBAR - 2, 8)
        shown = fit(self.worker.snapshot.picture, max(min(room, width), 8), rows)
        self._frame.styles.width = shown.shape[1] + 2

    def look(self) -> None:
        """Show the newest snapshot, and leave when there will be no more."""
        if self.worker.problem is not None or (self._limited and self.worker.over):
            self.exit()
            return
        snapshot = self.worker.snapshot
        if self._shown is None or snapshot.front.name != self._shown.front.name:
            self._show_frame(snapshot)
        self._shown = snapshot
        self._panel.look(snapshot)

    def _show_frame(self, snapshot: Snapshot) -> None:
        """Who is in front, on the phone's frame."""
        self._frame.border_title, self._frame.styles.border_title_color = snapshot.front.name, "white"
        self._frame.styles.border = ("round", f"#{snapshot.front.colour:06x}")

    def show_numbers(self) -> None:
        """Everything beside the phone. Only a new class of exit needs the screen laid out anew."""
        snapshot = self.worker.snapshot
        self._people.update(sidebar.people(snapshot, self._people.content_size.width), layout=False)
        self._exits.update(sidebar.exits(snapshot), layout=len(snapshot.exits) != self._exit_rows)
        self._clock.update(sidebar.clock(snapshot), layout=False)
        self._exit_rows = len(snapshot.exits)
        for console, persona in zip(self._consoles, snapshot.personas, strict=True):
            console.update(sidebar.console(persona, console.content_size.height), layout=False)
        if self.worker.over and not self._limited:
            self._keys.update("both personas have ended: F10 leaves, and prints the summary")

    def on_key(self, event: events.Key) -> None:
        """Whatever is not ours is the guest's."""
        if keys := bytes_of(event):
            self.worker.type(keys)

    def on_paste(self, event: events.Paste) -> None:
        self.worker.type(event.text.replace("\n", "\r").encode())

    def action_switch(self) -> None:
        self.worker.switch()

    def action_explain(self) -> None:
        if not isinstance(self.screen, Help):
            self.push_screen(Help())

    def action_picture(self) -> None:
        """Save what the panel shows, in the current folder, under a name that is free."""
        number = next(n for n in range(1, 10_000) if not Path(f"phone-{n}.png").exists())
        image = Image.fromarray(self.worker.snapshot.picture)
        size = image.width * PICTURE_SCALE, image.height * PICTURE_SCALE
        try:
            image.resize(size, Image.Resampling.NEAREST).save(f"phone-{number}.png")
        except OSError as problem:
            self.notify(f"no picture: {problem.strerror}", severity="error")
        else:
            self.notify(f"saved phone-{number}.png")


def show(phone: Phone, limit: int | None = None) -> None:
    """Watch a phone until the user leaves or virtual time `limit` (ns). Raises what the running thread raised."""
    worker = Worker(phone.session, limit)
    app = PhoneApp(worker, limit is not None)
    try:
        with ended_by_signals(lambda status: app.exit(return_code=status)):
            app.run(mouse=False)
    finally:
        worker.stop()
    if worker.problem is not None:
        raise worker.problem
    if app.return_code:
        raise SystemExit(app.return_code)

"""virtio input devices: a keyboard and a touch screen.

    queue 0  eventq    buffers for events ┌ type u16 │ code u16 │ value u32 ┐, one each
    queue 1  statusq   what the driver tells the device (lights on a keyboard): read and forgotten

What the device can do is asked for through its configuration space: the driver writes `select` and `subsel`, and reads `size`
and the answer. A press is a group of events that SYN_REPORT ends; a group waits whole, or is lost whole.

Types and codes are those of Linux's input subsystem, as the specification says; the few used here are listed below.

Source: virtio 1.2, 5.8 "Input Device".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from functools import partial
from struct import Struct
from typing import Any

from minivisor.arch.virtio import DeviceId, InputSelect
from minivisor.platform.virtio.device import Arrival, Device
from minivisor.platform.virtio.queue import Chain
from minivisor.trace.records import InputEvent

__all__ = ["KEYS", "Input", "Keyboard", "Touch"]

EVENT = Struct("<HHI")
EVENTS = 0
SELECT, SUBSEL = 0, 1  # offsets in the configuration space (5.8.4)
ANSWER = 128  # bytes of the answer, after select, subsel, size and five reserved bytes
EV_SYN, EV_KEY, EV_ABS = 0, 1, 3
SYN_REPORT = 0
BTN_TOUCH, ABS_X, ABS_Y = 0x14A, 0, 1
PROP_DIRECT = 1  # the finger touches what it means
IDS = Struct("<HHHH")  # bustype, vendor, product, version (virtio_input_devids)
ABS = Struct("<IIIII")  # min, max, fuzz, flat, resolution (virtio_input_absinfo)
BUS_VIRTUAL = 0x06
BACKLOG = 512  # events


def _rows(*rows: tuple[int, str]) -> dict[str, int]:
    return {name: first + at for first, names in rows for at, name in enumerate(names)}


SHIFT, ENTER, SPACE = 42, 28, 57
KEYS = _rows((2, "1234567890-="), (16, "qwertyuiop[]"), (30, "asdfghjkl;'`"), (43, "\\zxcvbnm,./"))
KEYS |= {"\n": ENTER, "\r": ENTER, " ": SPACE, "\t": 15, "\b": 14, "\x1b": 1}
"""Characters by the code of their key on a US keyboard; those that need Shift are in SHIFTED."""
SHIFTED = dict(zip('!@#$%^&*()_+{}:"~|<>?', "1234567890-=[];'`\\,./", strict=True))
SHIFTED |= {letter.upper(): letter for letter in "abcdefghijklmnopqrstuvwxyz"}


def _bits(numbers: Iterable[int]) -> bytes:
    """A bit map as the configuration space has it, without zeroes at the end."""
    mask = sum(1 << number for number in set(numbers))
    return mask.to_bytes(-(-mask.bit_length() // 8), "little")


class Input(Device):
    """An input device. name: what it calls itself. codes: {event type: codes}. ranges: {axis: largest value}."""

    id = DeviceId.INPUT
    queues = (64, 8)
    outside = True

    def __init__(
        self,
        name: str,
        product: int,
        codes: Mapping[int, Iterable[int]],
        ranges: Mapping[int, int],
        props: Iterable[int] = (),
    ) -> None:
        super().__init__()
        self.name = name
        self.answers: dict[tuple[int, int], bytes] = {
            (InputSelect.ID_NAME, 0): name.encode(),
            (InputSelect.ID_DEVIDS, 0): IDS.pack(BUS_VIRTUAL, 0, product, 1),
            (InputSelect.PROP_BITS, 0): _bits(props),
            **{(InputSelect.EV_BITS, kind): _bits(numbers) for kind, numbers in codes.items()},
            **{(InputSelect.ABS_INFO, axis): ABS.pack(0, most, 0, 0, 0) for axis, most in ranges.items()},
        }
        self._select, self._subsel = 0, 0
        self._events: deque[bytes] = deque()

    def config(self) -> bytes:
        """5.8.4: what was asked, the size of the answer, the answer. Size 0: it has nothing to say about that."""
        answer = self.answers.get((self._select, self._subsel), b"")
        return bytes((self._select, self._subsel, len(answer), 0, 0, 0, 0, 0)) + answer.ljust(ANSWER, b"\0")

    def configure(self, offset: int, data: bytes) -> None:
        """The driver asks: select and subsel, one byte each or both at once."""
        for at, value in enumerate(data, offset):
            if at == SELECT:
                self._select = value
            elif at == SUBSEL:
                self._subsel = value

    def wants(self, queue: int) -> bool:
        """A buffer is of use when an event waits; what the driver tells us is always read."""
        return queue != EVENTS or bool(self._events)

    def handle(self, queue: int, chain: Chain) -> int | str:
        """One event into one buffer."""
        if queue != EVENTS:
            return 0
        if chain.writable < EVENT.size:
            return f"chain {chain.head} has no room for an event of {EVENT.size} bytes"
        return chain.put(self._events.popleft())

    def emit(self, *events: tuple[int, int, int]) -> None:
        """(type, code, value) of events that belong together: they happen now."""
        group = [EVENT.pack(*event) for event in (*events, (EV_SYN, SYN_REPORT, 0))]
        if len(self._events) + len(group) <= BACKLOG:
            self._events.extend(group)
            self.serve(EVENTS)

    def reset(self) -> None:
        """A driver that starts anew gets nothing that happened before."""
        self._select = self._subsel = 0
        self._events.clear()

    def state(self) -> dict[str, Any]:
        """What happened and was not yet taken, in hexadecimal."""
        return {"select": [self._select, self._subsel], "events": [event.hex() for event in self._events]}

    def load(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self._select, self._subsel = state["select"]
        self._events = deque(map(bytes.fromhex, state["events"]))


class Keyboard(Input):
    """A US keyboard."""

    def __init__(self) -> None:
        super().__init__("minivisor keyboard", 1, {EV_KEY: [*KEYS.values(), SHIFT]}, {})

    def key(self, code: int, down: bool, at: int | None = None) -> None:
        """Press or release a key by its code. at: virtual time in ns, now unless given."""
        self.post(self.arrival(code, int(down), at=at))

    def arrival(self, code: int, position: int = 0, data: bytes = b"", at: int | None = None) -> Arrival:
        """A key, pressed when `position` is 1."""
        events = partial(self.emit, (EV_KEY, code & 0xFFFF, position & 1))
        return Arrival(events, InputEvent.KEYBOARD, code, position, at, slot=self.slot)

    def type(self, text: str, at: int | None = None) -> None:
        """Press and release the keys for a text. A character without a key is passed over."""
        for character in text:
            shifted = character in SHIFTED
            code = KEYS.get(SHIFTED.get(character, character))
            if code is not None:
                presses = [(SHIFT, True), (code, True), (code, False), (SHIFT, False)]
                for pressed, down in presses if shifted else presses[1:3]:
                    self.key(pressed, down, at)


class Touch(Input):
    """A touch screen of `width` by `height` points: one finger."""

    def __init__(self, width: int, height: int) -> None:
        codes = {EV_KEY: [BTN_TOUCH], EV_ABS: [ABS_X, ABS_Y]}
        super().__init__("minivisor touch screen", 2, codes, {ABS_X: width - 1, ABS_Y: height - 1}, [PROP_DIRECT])
        self.width, self.height = width, height

    def touch(self, x: int, y: int, down: bool = True, at: int | None = None) -> None:
        """A finger is, or no longer is, at a point; outside the screen counts as its edge. at: virtual time in ns."""
        x, y = max(0, min(x, self.width - 1)), max(0, min(y, self.height - 1))
        self.post(self.arrival(int(down), x << 32 | y, at=at))

    def arrival(self, code: int, position: int = 0, data: bytes = b"", at: int | None = None) -> Arrival:
        """A finger, on the screen when `code` is 1. position: x and y, 32 bits each."""
        x, y = min(position >> 32, self.width - 1), min(position & 0xFFFF_FFFF, self.height - 1)
        events = ((EV_KEY, BTN_TOUCH, code & 1), (EV_ABS, ABS_X, x), (EV_ABS, ABS_Y, y))
        return Arrival(partial(self.emit, *events), InputEvent.TOUCH, code, position, at, slot=self.slot)

    def describe(self) -> str:
        """Its size too."""
        return f"{self.name} of {self.width} by {self.height}"

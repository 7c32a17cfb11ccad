"""The guests on a machine that is not ours: what they print, draw and do is as their sources say."""

from __future__ import annotations

import re
import struct
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from minivisor import guests
from tests.guest_kernels.virt import FRAMEBUFFER, HEIGHT, RAM_BASE, STRIDE, WIDTH, Virt, device_tree

pytestmark = pytest.mark.needs("qemu", "dtc")

COLOUR = 0x2F6FDE
PERSONA = f'minivisor,name = "personal"; minivisor,colour = <{COLOUR}>;'
FIRST_LINE = "personal: kernel at 0xffffff8040200000, MMU on, tick 100 Hz\r\n"
READY = "screen 160x240\r\n"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return device_tree(tmp_path_factory.mktemp("tree"), PERSONA)


def persona(tree: Path, folder: Path) -> Virt:
    return Virt(guests.path("persona"), folder, "-dtb", str(tree))


def symbol(name: str, guest: str = "persona") -> int:
    with guests.path(guest).open("rb") as file:
        return int(ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name(name)[0]["st_value"])


def r5g6b5(colour: int) -> int:
    return (colour >> 8 & 0xF800) | (colour >> 5 & 0x07E0) | (colour >> 3 & 0x001F)


def screen(machine: Virt, folder: Path) -> list[tuple[int, ...]]:
    """Rows of r5g6b5 pixels."""
    pixels = machine.memory(FRAMEBUFFER, STRIDE * HEIGHT, folder)
    return [struct.unpack_from(f"<{WIDTH}H", pixels, y * STRIDE) for y in range(HEIGHT)]


def font() -> dict[tuple[str, ...], str]:
    """Glyph -> character, from the drawing that build.py reads, by a reading of its own."""
    drawing = (Path(__file__).parents[2] / "guest-kernels/persona/font.txt").read_text().split("\n\n")[1:]
    glyphs = [glyph for rows in drawing for glyph in zip(*(line.split() for line in rows.splitlines()), strict=True)]
    return {glyph: chr(code) for code, glyph in enumerate(glyphs, start=32)}


def test_no_two_characters_look_the_same() -> None:
    assert "".join(font().values()) == "".join(map(chr, range(32, 127)))


def read_text(rows: list[tuple[int, ...]], x: int, y: int, scale: int) -> str:
    """The characters drawn from (x, y) on, up to the first that is none; every pixel of them has to be right."""
    paper, text, glyphs = rows[y][x - 1], "", font()
    while x + 8 * scale < WIDTH:
        ink = ["".join(".#"[rows[y + r * scale][c] != paper] for c in range(x, WIDTH, scale)) for r in range(8)]
        fitting = [g for g in glyphs if all(row.startswith(part + ".") for row, part in zip(ink, g, strict=True))]
        if not fitting or not any("#" in row for row in max(fitting, key=lambda g: len(g[0]))):
            break
        glyph = max(fitting, key=lambda g: len(g[0]))
        text += glyphs[glyph]
        x += (len(glyph[0]) + 1) * scale
    return text


def screen_when(machine: Virt, folder: Path, ready: Callable[[list[tuple[int, ...]]], bool]) -> list[tuple[int, ...]]:
    """The first picture for which `ready` holds."""
    for _ in range(1000):
        rows = screen(machine, folder)
        if ready(rows):
            return rows
        time.sleep(0.01)
    raise TimeoutError("the screen never came to look as expected")


def is_complete(rows: list[tuple[int, ...]]) -> bool:
    """The last digit of the counter is drawn last."""
    return any(pixel not in (0, r5g6b5(COLOUR)) for row in rows[84:92] for pixel in row[115:122])


def test_hello_prints_asks_and_powers_off(tmp_path: Path) -> None:
    with Virt(guests.path("hello"), tmp_path) as machine:
        machine.until_off()
        assert machine.until("PSCI 1.1") == "hello from EL1\r\nPSCI 1.1\r\n"


def test_hypercall_goes_on_where_nobody_answers(tree: Path, tmp_path: Path) -> None:
    with Virt(guests.path("hypercall"), tmp_path, "-dtb", str(tree)) as machine:
        lines = machine.until("no answer: 0xffffffffffffffff\r\n").splitlines()
        assert lines[:2] == ["unknown call: not supported", "after HVC: the next instruction"]
        screen_when(machine, tmp_path, lambda rows: {row[0] for row in rows} == {0x52AA, 0xFFFF})


def test_persona_boots_under_its_own_name_and_draws_in_its_own_colour(tree: Path, tmp_path: Path) -> None:
    with persona(tree, tmp_path) as machine:
        lines = machine.until(READY)
        assert lines.startswith(FIRST_LINE)
        rows = screen_when(machine, tmp_path, is_complete)
    assert Counter(pixel for row in rows[32:] for pixel in row).most_common(1)[0][0] == r5g6b5(COLOUR)
    header = Counter(pixel for row in rows[:32] for pixel in row).most_common(1)[0][0]
    assert header == r5g6b5(0x18386F), "a header in half the brightness"
    assert read_text(rows, 8, 9, scale=2) == "personal"
    assert re.fullmatch("00:0[0-9]", read_text(rows, 20, 46, scale=4))


def test_counter_and_keys_redraw_only_their_own_lines(tree: Path, tmp_path: Path) -> None:
    with persona(tree, tmp_path) as machine:
        machine.until(READY)
        before = screen_when(machine, tmp_path, is_complete)
        ticked = screen_when(machine, tmp_path, lambda rows: rows != before)
        machine.type("hi")
        machine.until("personal: key 'i'")
        typed = screen_when(machine, tmp_path, lambda rows: read_text(rows, 24, 198, scale=1) == "hi")
    changed = {y for y in range(HEIGHT) if ticked[y] != before[y]}
    assert changed and all(46 <= y < 92 for y in changed), changed
    changed = {y for y in range(HEIGHT) if typed[y] != ticked[y]} - set(range(46, 92))
    assert changed and all(190 <= y < 214 for y in changed), changed


def test_panic_is_a_fixed_point(tree: Path, tmp_path: Path) -> None:
    with persona(tree, tmp_path) as machine:
        machine.until(READY)
        machine.type("P")
        machine.until("personal: panic, asked to")
        time.sleep(0.05)
        places = {machine.program_counter() for _ in range(5)}
    assert places == {symbol("broken_vectors") + 0x200}


def test_sleep_for_ever_answers_nothing(tree: Path, tmp_path: Path) -> None:
    with persona(tree, tmp_path) as machine:
        machine.until(READY)
        machine.type("W")
        machine.until("key 'W'")
        time.sleep(0.05)
        place = machine.program_counter()
        machine.type("x")
        time.sleep(0.1)
        assert machine.program_counter() == place
        assert "key 'x'" not in machine.listen()


def test_power_keys_reset_and_switch_off(tree: Path, tmp_path: Path) -> None:
    with persona(tree, tmp_path) as machine:
        machine.until(READY)
        machine.type("B")
        machine.until(f"key 'B'\r\n{FIRST_LINE}personal: 64 MiB, {READY}")
        machine.type("O")
        machine.until_off()


def test_floating_point_state_survives_sleep_and_preemption(tree: Path, tmp_path: Path) -> None:
    with persona(tree, tmp_path) as machine:
        machine.until(READY)
        machine.type("FS")
        machine.until(" ok\r\n")
        assert "CHANGED" not in machine.output


def test_persona_without_settings_or_screen_still_runs(tmp_path: Path) -> None:
    """An ELF kernel gets no X0 from QEMU: the tree is found at RAM base."""
    with Virt(guests.path("persona"), tmp_path) as machine:
        machine.until("persona: 64 MiB, screen 0x0\r\n")
        machine.type("k")
        machine.until("persona: key 'k'")


def test_persona_refuses_a_framebuffer_that_is_not_its_memory(tmp_path: Path) -> None:
    node = 'compatible = "simple-framebuffer"; format = "r5g6b5"; width = <160>; height = <240>; stride = <320>;'
    inside_the_kernel = f"{node} reg = <0 0x40200000 0 0x20000>;"
    tree = device_tree(tmp_path, PERSONA, inside_the_kernel)
    with persona(tree, tmp_path) as machine:
        machine.until("screen 0x0\r\n")


@pytest.mark.parametrize("bootargs", ["mixed 1", "hvc 1000", "svc 1000", "eoi 1000", "timer 10"])
def test_bench_does_what_bootargs_say(bootargs: str, tmp_path: Path) -> None:
    with Virt(guests.path("bench"), tmp_path, "-append", bootargs) as machine:
        machine.until(f"bench: {bootargs}, ")
        machine.until_off()


READ, WRITE, FETCH, WALK, TRANSLATE = range(5)
MAILBOX, SCRATCH, NOTHING = RAM_BASE + 0x10_0000, RAM_BASE + 0x100_0000, 0x3_0000_0000
RET = 0xD65F03C0
EC_DATA_ABORT, EC_INSTRUCTION_ABORT = 0x25, 0x21
EXTERNAL_ABORT, EXTERNAL_ABORT_ON_WALK_LEVEL_2, TRANSLATION_FAULT_LEVEL_2 = 0x10, 0x16, 0x06


def probe(folder: Path, *entries: tuple[int, int]) -> list[tuple[int, int]]:
    """Run the probe on (address, kind) pairs; returns (esr, detail) pairs. SCRATCH holds an RET and then zeros."""
    mailbox = struct.pack("<4Q", len(entries), 0, 0, 0)
    mailbox += b"".join(struct.pack("<4Q", address, kind, 0xBAD, 0xBAD) for address, kind in entries)
    load = []
    for address, content in ((MAILBOX, mailbox), (SCRATCH, struct.pack("<I", RET) + bytes(60))):
        file = folder / f"{address:x}"
        file.write_bytes(content)
        load += ["-device", f"loader,force-raw=on,addr={address:#x},file={file}"]
    with Virt(guests.path("probe"), folder, *load) as machine:
        machine.until_off()
        result = machine.memory(MAILBOX, len(mailbox), folder)
    assert struct.unpack_from("<2Q", result) == (len(entries), len(entries))
    return [struct.unpack_from("<2Q", result, 32 + 32 * i + 16) for i in range(len(entries))]


def test_probe_reaches_what_is_there(tmp_path: Path) -> None:
    entries = [(SCRATCH, READ), (SCRATCH + 32, WRITE), (SCRATCH + 32, READ), (SCRATCH, FETCH)]
    read, write, again, fetch, translate = probe(tmp_path, *entries, (SCRATCH + 40, TRANSLATE))
    assert read == (0, RET)
    assert write == (0, 0) and again == (0, 0x5A5A5A5A)
    assert fetch == (0, 0)
    assert translate[0] == 0 and translate[1] & 1 and translate[1] >> 1 & 0x3F == TRANSLATION_FAULT_LEVEL_2


def test_probe_records_what_is_not(tmp_path: Path) -> None:
    entries = [(NOTHING, READ), (NOTHING, WRITE), (NOTHING, FETCH), (NOTHING, WALK), (SCRATCH + 48, WALK)]
    results = probe(tmp_path, *entries)
    classes = [(esr >> 26, esr & 0x3F) for esr, _ in results]
    assert classes == [
        (EC_DATA_ABORT, EXTERNAL_ABORT),
        (EC_DATA_ABORT, EXTERNAL_ABORT),
        (EC_INSTRUCTION_ABORT, EXTERNAL_ABORT),
        (EC_DATA_ABORT, EXTERNAL_ABORT_ON_WALK_LEVEL_2),
        (EC_DATA_ABORT, TRANSLATION_FAULT_LEVEL_2),
    ]
    assert [far for _, far in results[:3]] == [NOTHING] * 3
    assert results[0][0] >> 6 & 1 == 0 and results[1][0] >> 6 & 1 == 1, "ISS.WnR"

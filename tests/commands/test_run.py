"""`minivisor run`: a guest's console, its end, and the exit status that says how it ended."""

import json

import pytest

from minivisor import cli, guests
from tests.machine import a64

HELLO, PERSONA, BENCH = (str(guests.path(name)) for name in ("hello", "persona", "bench"))


@pytest.fixture
def run(capfd):
    def start(*arguments):
        status = cli.run(["run", *arguments])
        captured = capfd.readouterr()
        return status, captured.out.replace("\r\n", "\n"), captured.err.replace("\r\n", "\n")

    return start


def test_hello_prints_and_powers_off(run):
    status, out, err = run(HELLO)
    assert (status, out) == (0, "hello from EL1\nPSCI 1.1\n")
    assert "708 instructions" in err and "HVC" in err and "hello" in err


def test_json_moves_the_console_to_stderr(run):
    status, out, err = run(HELLO, "--json")
    assert status == 0 and json.loads(out)["personas"][0]["status"] == "off"
    assert err == "hello from EL1\nPSCI 1.1\n"


def test_who_waits_for_the_compiler_is_told(run, monkeypatch):
    monkeypatch.setattr("minivisor.machine.object_code.is_kept", lambda: False)
    assert "compiling" not in run(HELLO)[2]  # nobody sits there
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert "compiling the hot loops, once" in run(HELLO)[2]


def test_boot_arguments_arrive(run):
    status, out, _ = run(BENCH, "--append", "hvc 25")
    assert status == 0 and out.startswith("bench: hvc 25")


def test_a_guest_that_cannot_go_on_is_status_3_with_a_report(run):
    status, out, err = run(PERSONA, "--for", "1s", "--type", "P@200ms")
    assert status == 3 and "panic, asked to" in out
    assert "persona 'persona' stopped: it takes the same exception" in err and "ESR_EL1" in err and "→" in err


def test_a_gicv3_is_for_boards_that_have_one(run):
    status, out, err = run(HELLO, "--gic", "3")
    assert (status, out) == (0, "hello from EL1\nPSCI 1.1\n") and "board b" in err
    status, out, err = run(HELLO, "--gic", "3", "--board", "a")
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert "a GICv3 was asked for, but board 'a' has a GICv2" in err
    assert run(HELLO, "--gic", "2", "--board", "b")[0] == 0
    assert run(HELLO, "--gic", "4")[0] == 2


def test_it_ends_after_the_time_given(run):
    status, out, err = run(PERSONA, "--for", "150ms")
    assert status == 0 and "MMU on" in out and err.startswith("0.150 s virtual")


def test_a_flat_image_is_loaded_where_arm64_puts_it(run, tmp_path):
    flat = tmp_path / "off.bin"  # movz w0, #8; movk w0, #0x8400, lsl 16; hvc #0: PSCI SYSTEM_OFF
    flat.write_bytes(b"".join(word.to_bytes(4, "little") for word in (0x5280_0100, 0x72B0_8000, 0xD400_0002)))
    status, out, err = run(str(flat))
    assert (status, out) == (0, "") and "3 instructions" in err


def test_a_guest_that_waits_for_a_key_without_a_keyboard_ends_with_a_word(run, tmp_path):
    guest = tmp_path / "key.bin"
    guest.write_bytes(b"".join(word.to_bytes(4, "little") for word in wait_for_key()))
    status, _out, err = run(str(guest))
    assert status == 0 and "the guest waits for a key" in err


def wait_for_key():
    """Enable the UART's receive interrupt through the distributor, then WFI for ever, masked."""
    return (
        0xD2A1_0000,  # movz x0, #0x0800, lsl 16      GICD
        0x5280_0021,  # mov w1, #1
        0xB900_0001,  # str w1, [x0]                  GICD_CTLR
        0x5280_0041,  # mov w1, #2
        0xB901_0401,  # str w1, [x0, #0x104]          GICD_ISENABLER1: interrupt 33
        0xD2A1_2000,  # movz x0, #0x0900, lsl 16      PL011
        0x5280_0201,  # mov w1, #0x10
        0xB900_3801,  # str w1, [x0, #0x38]           UARTIMSC.RXIM
        0xD503_207F,  # wfi
        0x17FF_FFFF,  # b .-4
    )


def test_a_handler_of_ones_own_answers(run, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from minivisor.stages import Outcome\n\ndef on_hvc(exit, vcpu):\n    if vcpu.x[0] == 0x84000000:\n"
                    "        return Outcome(writes={'X0': 0x00020005})\n    return NotImplemented\n")  # fmt: skip
    status, out, _ = run(HELLO, "--handlers", str(file))
    assert (status, out) == (0, "hello from EL1\nPSCI 2.5\n")


def test_a_handler_that_raises_names_its_line(run, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def on_hvc(exit, vcpu):\n    return {}['k']\n")
    status, _out, err = run(HELLO, "--handlers", str(file))
    assert status == 2 and err == f"minivisor: {file}:2: on_hvc raised KeyError: 'k'\n"


def test_a_scheduler_that_breaks_its_contract_names_its_class(run, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("class Mine:\n    def next(self, now, vcpus):\n        return 7, 1\n")
    status, _out, err = run(HELLO, "--scheduler", f"{file}:Mine")
    assert status == 2 and err.startswith(f"minivisor: {file}:1: next(): got (7, 1)") and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "KERNEL"),
        (["no-such-file"], "no-such-file cannot be read"),
        (["/"], "cannot be read"),
        ([HELLO, "--memory", "5G"], "from 4 MiB to 4 GiB"),
        ([HELLO, "--memory", "2M"], "2 MiB"),
        ([HELLO, "--smp", "9"], "--smp"),
        ([HELLO, "--for", "soon"], "duration"),
        ([HELLO, "--trace", "nowhere/x"], "a folder that exists"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_2(run, arguments, words):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "") and len(err.splitlines()) == 1 and words in err


def test_ctrl_c_ends_a_run_without_a_terminal_with_its_summary(run, monkeypatch):
    from minivisor.phone.session import Session

    advance = Session.advance

    def interrupted(self, until):
        advance(self, 100_000_000)
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "advance", interrupted)
    status, _out, err = run(PERSONA)
    assert status == 130 and err.startswith("0.100 s virtual")


def test_with_the_hosts_clock_the_run_says_that_it_is_not_reproducible(run):
    """To the guest's own end: how far it gets in so many milliseconds is the host's affair."""
    status, out, err = run(HELLO, "--clock", "host")
    assert (status, out) == (0, "hello from EL1\nPSCI 1.1\n")
    assert "clock host: not reproducible" in err


def test_an_unknown_clock_is_one_line(run):
    status, _, err = run(PERSONA, "--clock", "sundial")
    assert status == 2 and err.count("\n") == 1 and "there is virtual, host" in err


def test_a_ram_disk_is_refused_in_one_line_before_anything_runs(run, tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(b"")
    status, out, err = run(HELLO, "--initrd", str(disk))
    assert (status, out) == (2, "") and err.count("\n") == 1 and "initrd" in err and str(disk) in err


def test_more_memory_than_the_board_usually_has(run):
    status, out, _ = run(HELLO, "--memory", "768M")
    assert (status, out) == (0, "hello from EL1\nPSCI 1.1\n")


# ── virtio devices ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_devices_take_their_slots_and_are_closed_at_the_end(run, tmp_path, monkeypatch):
    from minivisor.hypervisor.hypervisor import Hypervisor

    seen, add = [], Hypervisor.add
    monkeypatch.setattr(Hypervisor, "add", lambda self, *given: seen.append(add(self, *given)) or seen[-1])
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1024))
    everything = ["--disk", str(disk), "--net", "--rng", "--input", "--console", "virtio"]
    for _ in range(2):  # the second time shows that the first one gave the file back
        status, out, err = run(HELLO, *everything)
        assert (status, out) == (0, "hello from EL1\nPSCI 1.1\n")
        assert "708 instructions" in err
    slots = [seen[0].virtio.read(0x200 * slot + 8, 4) for slot in range(7)]
    assert slots == [2, 1, 4, 18, 18, 3, 0]  # disk, net, entropy, keyboard, touch screen, console


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), (b"", "0 bytes"), (bytes(700), "700 bytes")])
def test_a_disk_that_cannot_be_is_one_line_and_status_2(run, tmp_path, content, words):
    first, second = tmp_path / "first.img", tmp_path / "second.img"
    first.write_bytes(bytes(512))
    if content is not None:
        second.write_bytes(content)
    status, out, err = run(HELLO, "--disk", f"{first}:ro", "--disk", str(second))
    assert (status, out) == (2, "") and len(err.splitlines()) == 1 and words in err and "--disk" in err
    assert run(HELLO, "--disk", str(first))[0] == 0  # not locked by the run that did not come about


def test_a_disk_that_somebody_has_is_one_line_and_status_2(run, tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(512))
    status, _, err = run(HELLO, "--disk", str(disk), "--disk", str(disk))
    assert status == 2 and "in use" in err and len(err.splitlines()) == 1


def tables_guest(path, *order):
    """A flat guest that maps a page at 4 GiB, reads it, changes its descriptor in some order, and powers off.

    RAM's first GiB is a block; X3 is the address of the page's descriptor, X5 what it will say, X4 a TLBI's operand.
    """
    root, level2, level3 = 0x4010_0000, 0x4010_1000, 0x4010_2000
    leaf = 0x4010_3000 | 1 << 10 | 3 << 8 | 3
    words, block = [], 0x4000_0000 | 1 << 10 | 3 << 8 | 1
    for slot, value in ((root + 8, block), (root + 32, level2 | 3), (level2, level3 | 3), (level3, leaf)):
        words += [*a64.MOV(1, slot), *a64.MOV(2, value), a64.STR(2, 1)]
    for register, value in (("TTBR0_EL1", root), ("TCR_EL1", 1 << 32 | 25 << 16 | 25), ("MAIR_EL1", 0xFF)):
        words += [*a64.MOV(2, value), a64.msr(register, 2)]
    words += [a64.ISB, *a64.MOV(2, 0x30D0_0801), a64.msr("SCTLR_EL1", 2), a64.ISB]
    words += [*a64.MOV(1, 4 << 30), *a64.MOV(3, level3), *a64.MOV(4, 4 << 30 >> 12), *a64.MOV(5, leaf + 0x1000), *order]
    words += [*a64.MOV(0, 0x8400_0008), a64.HVC(0)]
    path.write_bytes(b"".join(word.to_bytes(4, "little") for word in words))
    return str(path)


READ, BREAK, MAKE, TLBI = a64.LDR(0, 1), a64.STR(31, 3), a64.STR(5, 3), a64.sys("TLBI VAE1IS", 4)


def test_check_tables_tells_a_kernel_that_breaks_the_rules_which_one_and_where(run, tmp_path):
    kernel = tables_guest(tmp_path / "hasty.bin", READ, MAKE, a64.DSB, TLBI, a64.DSB, a64.ISB, READ)
    status, _out, err = run(kernel, "--check-tables")
    assert status == 4 and "tables: break-before-make kept, except once\n" in err
    assert "stage 1, the guest: live change" in err and "entry 0 of the level-3 table at 0x40102000" in err
    assert "VA 0x100000000 to 0x100001000" in err and "missing: write 0; DSB ISHST; TLBI VAALE1IS, 0x100000000" in err
    assert run(kernel, "--check-tables")[2].partition("tables:")[2] == err.partition("tables:")[2]
    assert run(kernel)[0] == 0  # it works all the same


def test_check_tables_tells_of_a_barrier_that_is_not_there(run, tmp_path):
    kernel = tables_guest(tmp_path / "loose.bin", READ, BREAK, TLBI, a64.DSB, a64.ISB, MAKE, a64.DSB, READ)
    status, _out, err = run(kernel, "--check-tables")
    assert status == 4 and "except once" in err and "stage 1, the guest: no DSB before" in err
    assert "missing: DSB ISHST, before the TLBI at PC 0x4008" in err


def test_check_tables_has_nothing_to_say_about_one_that_keeps_them(run, tmp_path):
    kernel = tables_guest(tmp_path / "patient.bin", READ, BREAK, a64.DSB, TLBI, a64.DSB, a64.ISB, MAKE, a64.DSB, READ)
    status, _out, err = run(kernel, "--check-tables")
    assert status == 0 and err.rstrip().endswith("tables: break-before-make kept")
    status, _out, err = run(kernel, "--check-tables", "--mmu", "unicorn")
    assert status == 2 and "only our own walk can tell which pages are tables" in err

"""Debian's own arm64 kernel, unmodified, as a guest: boots to a shell that answers, sees a machine it believes, powers off.

The kernel is the package debian-installer-12-netboot-arm64, the RAM disk is made of Debian's busybox by `make linux`; neither
is in this repository. Whole boots run in CI, and elsewhere with MINIVISOR_LINUX set.
"""

import os
import re
import subprocess
from dataclasses import dataclass

import pytest

from minivisor import Phone
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import FRAMEBUFFER_ROOM, RAM, Persona, PersonaSettings
from minivisor.hypervisor.placement import BLOCK
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image, with_initrd
from minivisor.trace.records import Kind
from tests.conftest import CI, LINUX_INITRD, LINUX_KERNEL

WANTED = CI or "MINIVISOR_LINUX" in os.environ
pytestmark = [
    pytest.mark.needs("linux"),
    pytest.mark.skipif(not WANTED, reason="NOT RUN: whole boots of Linux, in CI or with MINIVISOR_LINUX set"),
]
MEMORY, PROMPT = 512 << 20, b"\r\n# "
LIMIT, STEP = 12_000_000_000, 50_000_000  # ns of virtual time
BY_THE_HOST = 50 * LIMIT  # ns of the host's, which may be busy: it only ends what would never end
STAMP = re.compile(r"^\[ *\d+\.\d+\] ", re.MULTILINE)


@dataclass
class Linux:
    """A Linux being run, by what it prints. limit: ns in which it must have printed what is waited for."""

    hypervisor: Hypervisor
    persona: Persona
    limit: int = LIMIT

    def until(self, words: bytes, start: int = 0) -> str:
        """Run until it has printed this, after `start`; everything from there on."""
        limit = self.hypervisor.now + self.limit
        while words not in self.persona.console[start:]:
            assert self.hypervisor.alive and self.hypervisor.now < limit, self.persona.console[-2000:].decode()
            self.hypervisor.run(self.hypervisor.now + STEP)
        return self.persona.console[start:].decode(errors="replace")

    def say(self, command: str) -> str:
        """Type a command; what it prints, up to the next prompt."""
        start = len(self.persona.console)
        for byte in f"{command}; echo fin''ished\r".encode():
            self.hypervisor.key(self.persona, byte)
        return self.until(b"finished\r\n# ", start).partition("\r\n")[2].replace("\r\n", "\n")

    def power_off(self) -> str:
        start = len(self.persona.console)
        for byte in b"exit\r":
            self.hypervisor.key(self.persona, byte)
        self.hypervisor.run(self.hypervisor.now + self.limit)
        return self.persona.console[start:].decode(errors="replace")


def boot(cpus=1, gic=2, append="", mmu="minivisor", clock="virtual"):
    machine = Machine({2: "a", 3: "b"}[gic], mmu, ram=MEMORY + BLOCK)
    hypervisor = Hypervisor(machine, clock=clock)
    settings = PersonaSettings("linux", memory=MEMORY, cpus=cpus, gic=gic, bootargs=f"console=ttyAMA0 {append}")
    image = with_initrd(load_image(LINUX_KERNEL, RAM, MEMORY), LINUX_INITRD, RAM, MEMORY - FRAMEBUFFER_ROOM)
    limit = LIMIT if clock == "virtual" else BY_THE_HOST
    linux = Linux(hypervisor, hypervisor.add(settings, image), limit)
    linux.until(PROMPT)
    return linux


def check_what_it_sees(linux, cpus, gic):
    interrupts = linux.say("cat /proc/interrupts")
    assert re.search(rf"GICv?-?{'' if gic == 2 else 'v3'}.*27 Level +arch_timer", interrupts), interrupts
    assert re.search(r"33 Level +uart-pl011", interrupts) and re.search(r"^Err: +0$", interrupts, re.MULTILINE)
    processors = linux.say("cat /proc/cpuinfo")
    assert processors.count("processor\t:") == cpus and processors.count("CPU part\t: 0xd08") == cpus
    assert "Features\t: fp asimd" in processors
    log = linux.say("dmesg")
    assert "psci: PSCIv1.1 detected in firmware" in log and "Linux version 6.1" in log
    assert not re.search(r"WARNING:|BUG:|Oops|Call trace|stall|lockup", log), log


def check_hotplug(linux):
    """CPU_OFF, AFFINITY_INFO, CPU_ON."""
    off, on = ("echo 0 > cpu1/online; cat online", "echo 1 > cpu1/online; cat online")
    said = linux.say(f"cd /sys/devices/system/cpu; {off}; {on}; nproc")
    assert re.search(r"^0$.*^0-1$\n2$", said, re.MULTILINE | re.DOTALL), said


def check_its_end(linux):
    assert "reboot: Power down" in linux.power_off()
    assert linux.persona.status == "off" and not linux.persona.report


def test_a_shell_answers_and_psci_powers_it_off():
    linux = boot()
    assert linux.say("echo $((6 * 7)); uname -m").startswith("42\naarch64\n")
    check_what_it_sees(linux, 1, 2)
    check_its_end(linux)


@pytest.mark.parametrize(("cpus", "gic"), [(2, 2), (1, 3), (2, 3)])
def test_more_cpus_and_the_other_interrupt_controller(cpus, gic):
    linux = boot(cpus, gic)
    check_what_it_sees(linux, cpus, gic)
    if cpus > 1:
        check_hotplug(linux)
    check_its_end(linux)


@pytest.mark.parametrize("cpus", [1, 2])
def test_so_it_does_by_the_hosts_clock(cpus):
    """Nothing is measured, and nothing must be in time."""
    linux = boot(cpus, clock="host")
    check_what_it_sees(linux, cpus, 2)
    if cpus > 1:
        check_hotplug(linux)
    assert linux.say("sleep 0.2; echo $((6 * 7))").startswith("42\n")
    check_its_end(linux)


def test_two_of_them_on_the_phone_and_a_panic_is_one_sides_own():
    side = {"memory": MEMORY, "guest": LINUX_KERNEL, "initrd": LINUX_INITRD, "bootargs": "console=ttyAMA0"}
    phone = Phone(side, side)
    personal, work = (Linux(phone.hypervisor, persona) for persona in phone.personas)
    personal.until(PROMPT)
    work.until(PROMPT)
    phone.type("echo c > /proc/sysrq-trigger\r", phone.work)
    work.until(b"end Kernel panic - not syncing: sysrq triggered crash")
    assert personal.say("echo still $((40 + 2))").startswith("still 42\n")
    assert b"panic" not in phone.personal.console


def test_two_boots_are_one():
    first, second = (boot(append="quiet").hypervisor for _ in range(2))
    assert first.core.retired == second.core.retired
    assert first.trace.digest() == second.trace.digest() and len(first.trace.select(Kind.EXIT)) > 1_000


def test_the_engines_own_mmu_retires_the_same_instructions_and_makes_the_same_exits():
    """The whole boot, up to the prompt; the digest says which exit, where, when, with which syndrome."""
    ours, native = (boot(append="quiet", mmu=mmu).hypervisor for mmu in ("minivisor", "unicorn"))
    assert ours.core.retired == native.core.retired
    assert ours.trace.digest() == native.trace.digest()


@pytest.mark.needs("qemu")
def test_it_warns_of_nothing_that_qemu_does_not_show_too(tmp_path):
    linux = boot(append="loglevel=5")
    ours = linux.persona.console.decode(errors="replace").replace("\r", "")
    serial = tmp_path / "serial"
    arguments = [*"-M virt -cpu cortex-a72 -m 512M -nodefaults -display none -monitor none".split()]
    arguments += ["-serial", f"file:{serial}", "-append", "console=ttyAMA0 loglevel=5"]
    arguments += ["-kernel", str(LINUX_KERNEL), "-initrd", str(LINUX_INITRD)]
    qemu = subprocess.Popen(["qemu-system-aarch64", *arguments])
    try:
        for _ in range(600):
            if serial.exists() and b"minivisor: a shell" in serial.read_bytes():
                break
            with pytest.raises(subprocess.TimeoutExpired):
                qemu.wait(0.2)
    finally:
        qemu.kill()
        qemu.wait()
    theirs = serial.read_text(errors="replace").replace("\r", "")
    assert "minivisor: a shell" in theirs
    kernel = [line for line in ours.split("\n") if STAMP.match(line)]
    assert {STAMP.sub("", line) for line in kernel} <= {STAMP.sub("", line) for line in theirs.split("\n")}, kernel

"""The assembly: every part is there, and a call goes through all that it needs."""

from dataclasses import fields

from minivisor.hypervisor.reference import reference
from minivisor.machine.pl011 import Pl011
from minivisor.platform.bus import Bus
from minivisor.stages import Outcome, Stages, Vcpu


class Guest:
    def __init__(self):
        self.uart = Pl011()
        self.bus, self.trapped_registers = Bus(), {}
        self.bus.add(0x0900_0000, 0x1000, self.uart)

    def affinity(self, number):
        return {0: 0, 1: 1}.get(number)

    def code_at(self, _va):
        return 0

    def register(self, _name):
        return 0

    def inside(self, ipa):
        return 0x4000_0000 <= ipa < 0x4400_0000


def test_every_part_is_filled():
    stages = reference(Guest())
    assert all(getattr(stages, field.name) is not None for field in fields(Stages))
    assert callable(stages.scheduler().next)
    assert stages.uart().read(0x18, 4) == 0x90


def handle(guest, esr, far=0, hpfar=0, **registers):
    stages = reference(guest)
    x = tuple(registers.get(f"x{n}", 0) for n in range(31))
    exit = stages.decode(esr, far, hpfar)
    return stages.handlers[exit.ec](exit, Vcpu(0, "work", x, pc=0x4020_0000))


def test_a_hypercall_reaches_psci():
    outcome = handle(Guest(), 0x5A00_0000, x0=0xC400_0003, x1=1, x2=0x4010_0000, x3=9)
    assert outcome == Outcome("on", {"X0": 0}, argument=(1, 0x4010_0000, 9))
    assert handle(Guest(), 0x5A00_0000, x0=0xC400_0003, x1=1, x2=0x9000_0000).writes == {"X0": 2**64 - 9}


def test_a_store_to_the_uart_is_sent():
    guest = Guest()
    outcome = handle(guest, 0x9381_0046, 0xFFFF_0000_0900_0000, 0x9_0000, x1=ord("!"))
    assert outcome == Outcome(writes={"PC": 0x4020_0004})
    assert guest.uart.sent == b"!"


def test_a_guest_reads_the_masked_identity_of_a_cortex_a72():
    mrs_x3_id_aa64pfr0 = 0x18 << 26 | 3 << 20 | 3 << 5 | 4 << 1 | 1
    assert handle(Guest(), mrs_x3_id_aa64pfr0).writes == {"X3": 0x111, "PC": 0x4020_0004}

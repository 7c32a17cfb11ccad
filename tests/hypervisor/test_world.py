"""The world switch on a core made of a dictionary: everything comes back, nothing stays behind."""

import random

from minivisor.hypervisor.world import REGISTERS, load, save

# What an operating system at EL1 owns on this core, written out once more: DDI 0487, by chapter.
OWNED = """
    PC PSTATE SP_EL0 SP_EL1 ELR_EL1 SPSR_EL1 ESR_EL1 FAR_EL1 VBAR_EL1 SCTLR_EL1 CPACR_EL1 TTBR0_EL1 TTBR1_EL1 TCR_EL1
    MAIR_EL1 CONTEXTIDR_EL1 TPIDR_EL0 TPIDRRO_EL0 TPIDR_EL1 CNTKCTL_EL1 PAR_EL1 CSSELR_EL1 MDSCR_EL1 CNTV_CTL_EL0
    CNTV_CVAL_EL0 CNTVOFF_EL2 CNTP_CTL_EL0 CNTP_CVAL_EL0 FPCR FPSR VTTBR_EL2 VMPIDR_EL2 VPIDR_EL2
""".split()
OWNED += [f"DBG{kind}{n}_EL1" for kind in ("BVR", "BCR") for n in range(6)]  # Cortex-A72: six breakpoints
OWNED += [f"DBG{kind}{n}_EL1" for kind in ("WVR", "WCR") for n in range(4)]  # and four watchpoints
OWNED += [f"X{n}" for n in range(31)] + [f"V{n}" for n in range(32)]


class DictionaryCore:
    """Registers, an exclusive monitor, and the order in which they were written."""

    def __init__(self, seed):
        rng = random.Random(seed)
        self.registers = {
            name: rng.getrandbits(128 if name.startswith("V") and name[1:].isdigit() else 64) for name in OWNED
        }
        self.monitor = 0x4000_0000
        self.written = []

    def read(self, name):
        return self.registers[name]

    def write(self, name, value):
        self.written.append(name)
        if name == "CLREX":
            self.monitor = None
        else:
            assert name in self.registers
            self.registers[name] = value

    def read_many(self, names):
        return {name: self.read(name) for name in names}

    def write_many(self, values):
        for name, value in values.items():
            self.write(name, value)


def test_the_list_is_what_el1_owns():
    assert sorted(REGISTERS) == sorted(OWNED)


def test_everything_survives_another_vcpu():
    core = DictionaryCore(1)
    first = dict(core.registers)
    saved = save(core)
    core.registers = DictionaryCore(2).registers
    second = save(core)
    load(core, saved)
    assert core.registers == first
    load(core, second)
    assert core.registers == DictionaryCore(2).registers


def test_saving_changes_nothing():
    core = DictionaryCore(1)
    before = dict(core.registers)
    save(core)
    assert (core.registers, core.written) == (before, [])


def test_the_exclusive_monitor_is_cleared():
    core = DictionaryCore(1)
    load(core, save(core))
    assert core.monitor is None


def test_nothing_of_the_last_vcpu_stays_where_a_state_is_silent():
    core = DictionaryCore(1)
    load(core, {"PC": 0x4020_0000, "PSTATE": 0x3C5})
    assert {name: value for name, value in core.registers.items() if value} == {"PC": 0x4020_0000, "PSTATE": 0x3C5}


def test_order_matters_for_banked_stack_pointers_and_timers():
    core = DictionaryCore(1)
    load(core, {})
    position = {name: n for n, name in enumerate(core.written)}
    assert position["PSTATE"] < position["SP_EL0"]
    assert position["PSTATE"] < position["SP_EL1"]
    assert position["CNTV_CVAL_EL0"] < position["CNTV_CTL_EL0"]
    assert position["CNTP_CVAL_EL0"] < position["CNTP_CTL_EL0"]
    assert position["CNTVOFF_EL2"] < position["CNTV_CTL_EL0"]

"""Registers against values that real software is known to write, and against single bits known by their masks."""

from __future__ import annotations

import pytest

from minivisor.arch import idregs, sysregs
from minivisor.arch.sysregs import HCR_EL2, HPFAR_EL2, PAR_EL1, PAR_EL1_FAULT, SCTLR_EL1, TCR_EL1, VTCR_EL2, VTTBR_EL2


def test_hcr_bits_have_the_masks_every_hypervisor_uses() -> None:
    masks = {
        "VM": 1 << 0, "FMO": 1 << 3, "IMO": 1 << 4, "AMO": 1 << 5, "VI": 1 << 7, "TWI": 1 << 13, "TWE": 1 << 14,
        "TID3": 1 << 18, "TSC": 1 << 19, "TSW": 1 << 22, "TTLB": 1 << 25, "TVM": 1 << 26, "TGE": 1 << 27,
        "HCD": 1 << 29, "TRVM": 1 << 30, "RW": 1 << 31, "E2H": 1 << 34, "FWB": 1 << 46, "TID5": 1 << 58, "BSU": 3 << 10,
    }  # fmt: skip
    for name, mask in masks.items():
        assert HCR_EL2.layout[name].mask == mask, name
    assert repr(HCR_EL2(0x80000001)) == "HCR_EL2(0x80000001: VM=1 (stage-2 translation enabled), RW=1 (EL1 is AArch64))"
    assert HCR_EL2.of(VM=1, RW=1) == HCR_EL2(0x80000001)


def test_vtcr_of_a_40_bit_ipa_space_is_kvms() -> None:
    vtcr = VTCR_EL2.of(T0SZ=24, SL0=1, IRGN0=1, ORGN0=1, SH0=3, PS=2)
    assert int(vtcr) == 0x80023558
    assert vtcr.meaning("SL0") == "level 1"
    assert vtcr.meaning("PS") == "40 bits"


def test_vttbr_holds_vmid_and_base() -> None:
    vttbr = VTTBR_EL2.of(VMID=3, BADDR=0x4004_0000)
    assert int(vttbr) == 0x0003_0000_4004_0000
    with pytest.raises(ValueError, match="aligned"):
        VTTBR_EL2.of(BADDR=0x40000001)


def test_hpfar_gives_the_page_in_bytes() -> None:
    assert HPFAR_EL2(0x90000).FIPA == 0x0900_0000
    assert int(HPFAR_EL2.of(FIPA=0x0900_0000)) == 0x90000
    assert HPFAR_EL2.of(FIPA=(1 << 52) - 4096).FIPA == (1 << 52) - 4096


def test_linux_registers_decode_to_what_linux_means() -> None:
    sctlr = SCTLR_EL1(0x34D5D91D)
    assert [sctlr.M, sctlr.C, sctlr.I, sctlr.SA, sctlr.A, sctlr.EE, sctlr.WXN, sctlr.UCI] == [1, 1, 1, 1, 0, 0, 0, 1]
    tcr = TCR_EL1(0x34B5503510)
    assert [tcr.T0SZ, tcr.T1SZ, tcr.A1, tcr.AS, tcr.IPS, tcr.TBI0, tcr.TBI1] == [16, 16, 1, 1, 4, 1, 0]
    assert (tcr.meaning("TG0"), tcr.meaning("TG1")) == ("4 KiB", "4 KiB")
    mair = sysregs.MAIR_EL1(0x000C_0400_BB44_FF00)
    assert mair.meaning("Attr0") == "Device-nGnRnE"
    assert mair.meaning("Attr1") == "Normal, write-back"
    assert mair.meaning("Attr5") == "Device-nGnRE"
    assert sysregs.TTBR1_EL1(0x0042_0000_4123_0000).fields() == {"CnP": 0, "BADDR": 0x41230000, "ASID": 0x42}
    assert sysregs.CPACR_EL1(3 << 20).meaning("FPEN") == "not trapped"


def test_par_has_two_forms() -> None:
    good = sysregs.par(0xFF00_0000_4123_4B80)
    assert isinstance(good, PAR_EL1)
    assert (good.PA, good.meaning("ATTR"), good.meaning("SH")) == (0x41234000, "Normal, write-back", "inner shareable")
    bad = sysregs.par(0xA0F)
    assert isinstance(bad, PAR_EL1_FAULT)
    assert (bad.S, bad.PTW, bad.meaning("FST")) == (1, 0, "translation fault, level 3")


def test_the_timer_control_is_three_bits() -> None:
    assert sysregs.CNTx_CTL(5).fields() == {"ENABLE": 1, "IMASK": 0, "ISTATUS": 1}


def test_a_cortex_a72_decodes_to_what_its_manual_says() -> None:
    assert idregs.MIDR_EL1(0x410FD083).meaning("PartNum") == "Cortex-A72"
    features = idregs.ID_AA64PFR0_EL1(0x2222)
    assert [features.meaning(f"EL{level}") for level in range(4)] == ["AArch64 and AArch32"] * 4
    assert idregs.ID_AA64MMFR0_EL1(0x1124).fields().items() >= {"PARange": 4, "ASIDBits": 2, "BigEnd": 1}.items()
    assert idregs.ID_AA64MMFR0_EL1(0x1124).meaning("PARange") == "44 bits"
    assert idregs.ID_AA64DFR0_EL1(0x10305106).fields().items() >= {"BRPs": 5, "WRPs": 3, "PMUVer": 1}.items()
    assert idregs.ID_AA64ISAR0_EL1(0x11120).meaning("AES") == "AES and PMULL"
    assert idregs.CTR_EL0(0x8444C004).fields().items() >= {"IminLine": 4, "DminLine": 4, "RES1": 1}.items()


def test_masking_a_feature_is_a_replace() -> None:
    shown = idregs.ID_AA64PFR0_EL1(0x2222).replace(EL0=1)
    assert int(shown) == 0x2221
    assert idregs.MPIDR_EL1.of(Aff0=1).fields()["RES1"] == 1

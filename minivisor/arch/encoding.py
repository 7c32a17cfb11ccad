"""System registers and system instructions by name, and the five numbers that encode them.

MRS, MSR and SYS name their operand with five small numbers, and a trap reports the same five in its ISS (EC 0x18):

    31        22 21  20 19 18   16 15   12 11    8 7    5 4   0
    ┌───────────┬──┬─────┬───────┬───────┬───────┬──────┬─────┐
    │1101010100 │L │ op0 │  op1  │  CRn  │  CRm  │ op2  │ Rt  │      L = 1: MRS, 0: MSR (op0 = 1: SYS)
    └───────────┴──┴─────┴───────┴───────┴───────┴──────┴─────┘

    24  22 21  20 19  17 18..14       13  10 9   5 4    1  0
    ┌─────┬──────┬──────┬───────┬───────┬──────┬──────┬─────┐
    │ RES0│ op0  │ op2  │  op1  │  CRn  │  Rt  │ CRm  │Read │      ISS of a trapped access (DDI 0487, ESR_EL2)
    └─────┴──────┴──────┴───────┴───────┴──────┴──────┴─────┘

What has no name here still has one in the architecture: `S3_0_C1_C2_3`, which assemblers read and `name` writes.

Source: DDI 0487, D17 "AArch64 System Register Descriptions" and C5 "The A64 System Instruction Class".
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

__all__ = [
    "INSTRUCTIONS",
    "REGISTERS",
    "Encoding",
    "SystemAccess",
    "access",
    "encoding",
    "from_iss",
    "from_word",
    "iss",
    "mrs",
    "msr",
    "name",
    "sys",
]

Encoding: TypeAlias = tuple[int, int, int, int, int]
"""(op0, op1, CRn, CRm, op2)."""

# ── registers ────────────────────────────────────────────────────────────────────────────────────────────────────────
# fmt: off

REGISTERS: dict[str, Encoding] = {
    # Debug (op0 = 2)
    "OSDTRRX_EL1": (2, 0, 0, 0, 2), "MDCCINT_EL1": (2, 0, 0, 2, 0), "MDSCR_EL1": (2, 0, 0, 2, 2),
    "OSDTRTX_EL1": (2, 0, 0, 3, 2), "OSECCR_EL1": (2, 0, 0, 6, 2), "MDRAR_EL1": (2, 0, 1, 0, 0),
    "OSLAR_EL1": (2, 0, 1, 0, 4), "OSLSR_EL1": (2, 0, 1, 1, 4), "OSDLR_EL1": (2, 0, 1, 3, 4),
    "DBGPRCR_EL1": (2, 0, 1, 4, 4), "DBGCLAIMSET_EL1": (2, 0, 7, 8, 6), "DBGCLAIMCLR_EL1": (2, 0, 7, 9, 6),
    "DBGAUTHSTATUS_EL1": (2, 0, 7, 14, 6), "MDCCSR_EL0": (2, 3, 0, 1, 0), "DBGDTR_EL0": (2, 3, 0, 4, 0),
    "DBGVCR32_EL2": (2, 4, 0, 7, 0),
    **{f"DBGBVR{n}_EL1": (2, 0, 0, n, 4) for n in range(16)},
    **{f"DBGBCR{n}_EL1": (2, 0, 0, n, 5) for n in range(16)},
    **{f"DBGWVR{n}_EL1": (2, 0, 0, n, 6) for n in range(16)},
    **{f"DBGWCR{n}_EL1": (2, 0, 0, n, 7) for n in range(16)},
    # Identification
    "MIDR_EL1": (3, 0, 0, 0, 0), "MPIDR_EL1": (3, 0, 0, 0, 5), "REVIDR_EL1": (3, 0, 0, 0, 6),
    "ID_PFR0_EL1": (3, 0, 0, 1, 0), "ID_PFR1_EL1": (3, 0, 0, 1, 1), "ID_DFR0_EL1": (3, 0, 0, 1, 2),
    "ID_AFR0_EL1": (3, 0, 0, 1, 3), "ID_MMFR0_EL1": (3, 0, 0, 1, 4), "ID_MMFR1_EL1": (3, 0, 0, 1, 5),
    "ID_MMFR2_EL1": (3, 0, 0, 1, 6), "ID_MMFR3_EL1": (3, 0, 0, 1, 7), "ID_ISAR0_EL1": (3, 0, 0, 2, 0),
    "ID_ISAR1_EL1": (3, 0, 0, 2, 1), "ID_ISAR2_EL1": (3, 0, 0, 2, 2), "ID_ISAR3_EL1": (3, 0, 0, 2, 3),
    "ID_ISAR4_EL1": (3, 0, 0, 2, 4), "ID_ISAR5_EL1": (3, 0, 0, 2, 5), "ID_MMFR4_EL1": (3, 0, 0, 2, 6),
    "ID_ISAR6_EL1": (3, 0, 0, 2, 7), "MVFR0_EL1": (3, 0, 0, 3, 0), "MVFR1_EL1": (3, 0, 0, 3, 1),
    "MVFR2_EL1": (3, 0, 0, 3, 2), "ID_PFR2_EL1": (3, 0, 0, 3, 4), "ID_DFR1_EL1": (3, 0, 0, 3, 5),
    "ID_MMFR5_EL1": (3, 0, 0, 3, 6), "ID_AA64PFR0_EL1": (3, 0, 0, 4, 0), "ID_AA64PFR1_EL1": (3, 0, 0, 4, 1),
    "ID_AA64ZFR0_EL1": (3, 0, 0, 4, 4), "ID_AA64SMFR0_EL1": (3, 0, 0, 4, 5), "ID_AA64DFR0_EL1": (3, 0, 0, 5, 0),
    "ID_AA64DFR1_EL1": (3, 0, 0, 5, 1), "ID_AA64AFR0_EL1": (3, 0, 0, 5, 4), "ID_AA64AFR1_EL1": (3, 0, 0, 5, 5),
    "ID_AA64ISAR0_EL1": (3, 0, 0, 6, 0), "ID_AA64ISAR1_EL1": (3, 0, 0, 6, 1), "ID_AA64ISAR2_EL1": (3, 0, 0, 6, 2),
    "ID_AA64MMFR0_EL1": (3, 0, 0, 7, 0), "ID_AA64MMFR1_EL1": (3, 0, 0, 7, 1), "ID_AA64MMFR2_EL1": (3, 0, 0, 7, 2),
    "CCSIDR_EL1": (3, 1, 0, 0, 0), "CLIDR_EL1": (3, 1, 0, 0, 1), "CCSIDR2_EL1": (3, 1, 0, 0, 2),
    "AIDR_EL1": (3, 1, 0, 0, 7), "CSSELR_EL1": (3, 2, 0, 0, 0), "CTR_EL0": (3, 3, 0, 0, 1),
    "DCZID_EL0": (3, 3, 0, 0, 7), "VPIDR_EL2": (3, 4, 0, 0, 0), "VMPIDR_EL2": (3, 4, 0, 0, 5),
    # Control and translation
    "SCTLR_EL1": (3, 0, 1, 0, 0), "ACTLR_EL1": (3, 0, 1, 0, 1), "CPACR_EL1": (3, 0, 1, 0, 2),
    "ZCR_EL1": (3, 0, 1, 2, 0), "TTBR0_EL1": (3, 0, 2, 0, 0), "TTBR1_EL1": (3, 0, 2, 0, 1),
    "TCR_EL1": (3, 0, 2, 0, 2), "APIAKEYLO_EL1": (3, 0, 2, 1, 0), "APIAKEYHI_EL1": (3, 0, 2, 1, 1),
    "APIBKEYLO_EL1": (3, 0, 2, 1, 2), "APIBKEYHI_EL1": (3, 0, 2, 1, 3), "APDAKEYLO_EL1": (3, 0, 2, 2, 0),
    "APDAKEYHI_EL1": (3, 0, 2, 2, 1), "APDBKEYLO_EL1": (3, 0, 2, 2, 2), "APDBKEYHI_EL1": (3, 0, 2, 2, 3),
    "APGAKEYLO_EL1": (3, 0, 2, 3, 0), "APGAKEYHI_EL1": (3, 0, 2, 3, 1), "PAR_EL1": (3, 0, 7, 4, 0),
    "MAIR_EL1": (3, 0, 10, 2, 0), "AMAIR_EL1": (3, 0, 10, 3, 0), "LORSA_EL1": (3, 0, 10, 4, 0),
    "LOREA_EL1": (3, 0, 10, 4, 1), "LORN_EL1": (3, 0, 10, 4, 2), "LORC_EL1": (3, 0, 10, 4, 3),
    "LORID_EL1": (3, 0, 10, 4, 7), "CONTEXTIDR_EL1": (3, 0, 13, 0, 1), "TPIDR_EL1": (3, 0, 13, 0, 4),
    "SCTLR_EL2": (3, 4, 1, 0, 0), "ACTLR_EL2": (3, 4, 1, 0, 1), "HCR_EL2": (3, 4, 1, 1, 0),
    "MDCR_EL2": (3, 4, 1, 1, 1), "CPTR_EL2": (3, 4, 1, 1, 2), "HSTR_EL2": (3, 4, 1, 1, 3),
    "HACR_EL2": (3, 4, 1, 1, 7), "ZCR_EL2": (3, 4, 1, 2, 0), "TTBR0_EL2": (3, 4, 2, 0, 0),
    "TTBR1_EL2": (3, 4, 2, 0, 1), "TCR_EL2": (3, 4, 2, 0, 2), "VTTBR_EL2": (3, 4, 2, 1, 0),
    "VTCR_EL2": (3, 4, 2, 1, 2), "DACR32_EL2": (3, 4, 3, 0, 0), "MAIR_EL2": (3, 4, 10, 2, 0),
    "AMAIR_EL2": (3, 4, 10, 3, 0), "CONTEXTIDR_EL2": (3, 4, 13, 0, 1), "TPIDR_EL2": (3, 4, 13, 0, 2),
    # Exceptions and process state
    "SPSR_EL1": (3, 0, 4, 0, 0), "ELR_EL1": (3, 0, 4, 0, 1), "SP_EL0": (3, 0, 4, 1, 0),
    "SPSEL": (3, 0, 4, 2, 0), "CURRENTEL": (3, 0, 4, 2, 2), "PAN": (3, 0, 4, 2, 3), "UAO": (3, 0, 4, 2, 4),
    "AFSR0_EL1": (3, 0, 5, 1, 0), "AFSR1_EL1": (3, 0, 5, 1, 1), "ESR_EL1": (3, 0, 5, 2, 0),
    "ERRIDR_EL1": (3, 0, 5, 3, 0), "ERRSELR_EL1": (3, 0, 5, 3, 1), "FAR_EL1": (3, 0, 6, 0, 0),
    "VBAR_EL1": (3, 0, 12, 0, 0), "RVBAR_EL1": (3, 0, 12, 0, 1), "RMR_EL1": (3, 0, 12, 0, 2),
    "ISR_EL1": (3, 0, 12, 1, 0), "DISR_EL1": (3, 0, 12, 1, 1), "NZCV": (3, 3, 4, 2, 0), "DAIF": (3, 3, 4, 2, 1),
    "DIT": (3, 3, 4, 2, 5), "SSBS": (3, 3, 4, 2, 6), "FPCR": (3, 3, 4, 4, 0), "FPSR": (3, 3, 4, 4, 1),
    "DSPSR_EL0": (3, 3, 4, 5, 0), "DLR_EL0": (3, 3, 4, 5, 1), "TPIDR_EL0": (3, 3, 13, 0, 2),
    "TPIDRRO_EL0": (3, 3, 13, 0, 3), "SPSR_EL2": (3, 4, 4, 0, 0), "ELR_EL2": (3, 4, 4, 0, 1),
    "SP_EL1": (3, 4, 4, 1, 0), "SPSR_IRQ": (3, 4, 4, 3, 0), "SPSR_ABT": (3, 4, 4, 3, 1), "SPSR_UND": (3, 4, 4, 3, 2),
    "SPSR_FIQ": (3, 4, 4, 3, 3), "IFSR32_EL2": (3, 4, 5, 0, 1), "AFSR0_EL2": (3, 4, 5, 1, 0),
    "AFSR1_EL2": (3, 4, 5, 1, 1), "ESR_EL2": (3, 4, 5, 2, 0), "VSESR_EL2": (3, 4, 5, 2, 3),
    "FPEXC32_EL2": (3, 4, 5, 3, 0), "FAR_EL2": (3, 4, 6, 0, 0), "HPFAR_EL2": (3, 4, 6, 0, 4),
    "VBAR_EL2": (3, 4, 12, 0, 0), "RVBAR_EL2": (3, 4, 12, 0, 1), "RMR_EL2": (3, 4, 12, 0, 2),
    "VDISR_EL2": (3, 4, 12, 1, 1), "SP_EL2": (3, 6, 4, 1, 0), "SCR_EL3": (3, 6, 1, 1, 0), "CPTR_EL3": (3, 6, 1, 1, 2),
    # Generic timer
    "CNTKCTL_EL1": (3, 0, 14, 1, 0), "CNTFRQ_EL0": (3, 3, 14, 0, 0), "CNTPCT_EL0": (3, 3, 14, 0, 1),
    "CNTVCT_EL0": (3, 3, 14, 0, 2), "CNTPCTSS_EL0": (3, 3, 14, 0, 5), "CNTVCTSS_EL0": (3, 3, 14, 0, 6),
    "CNTP_TVAL_EL0": (3, 3, 14, 2, 0), "CNTP_CTL_EL0": (3, 3, 14, 2, 1), "CNTP_CVAL_EL0": (3, 3, 14, 2, 2),
    "CNTV_TVAL_EL0": (3, 3, 14, 3, 0), "CNTV_CTL_EL0": (3, 3, 14, 3, 1), "CNTV_CVAL_EL0": (3, 3, 14, 3, 2),
    "CNTVOFF_EL2": (3, 4, 14, 0, 3), "CNTHCTL_EL2": (3, 4, 14, 1, 0), "CNTHP_TVAL_EL2": (3, 4, 14, 2, 0),
    "CNTHP_CTL_EL2": (3, 4, 14, 2, 1), "CNTHP_CVAL_EL2": (3, 4, 14, 2, 2), "CNTHV_TVAL_EL2": (3, 4, 14, 3, 0),
    "CNTHV_CTL_EL2": (3, 4, 14, 3, 1), "CNTHV_CVAL_EL2": (3, 4, 14, 3, 2), "CNTPS_TVAL_EL1": (3, 7, 14, 2, 0),
    "CNTPS_CTL_EL1": (3, 7, 14, 2, 1), "CNTPS_CVAL_EL1": (3, 7, 14, 2, 2),
    # Performance monitors
    "PMINTENSET_EL1": (3, 0, 9, 14, 1), "PMINTENCLR_EL1": (3, 0, 9, 14, 2), "PMMIR_EL1": (3, 0, 9, 14, 6),
    "PMCR_EL0": (3, 3, 9, 12, 0), "PMCNTENSET_EL0": (3, 3, 9, 12, 1), "PMCNTENCLR_EL0": (3, 3, 9, 12, 2),
    "PMOVSCLR_EL0": (3, 3, 9, 12, 3), "PMSWINC_EL0": (3, 3, 9, 12, 4), "PMSELR_EL0": (3, 3, 9, 12, 5),
    "PMCEID0_EL0": (3, 3, 9, 12, 6), "PMCEID1_EL0": (3, 3, 9, 12, 7), "PMCCNTR_EL0": (3, 3, 9, 13, 0),
    "PMXEVTYPER_EL0": (3, 3, 9, 13, 1), "PMXEVCNTR_EL0": (3, 3, 9, 13, 2), "PMUSERENR_EL0": (3, 3, 9, 14, 0),
    "PMOVSSET_EL0": (3, 3, 9, 14, 3), "PMCCFILTR_EL0": (3, 3, 14, 15, 7),
    **{f"PMEVCNTR{n}_EL0": (3, 3, 14, 8 + n // 8, n % 8) for n in range(31)},
    **{f"PMEVTYPER{n}_EL0": (3, 3, 14, 12 + n // 8, n % 8) for n in range(31)},
    # GICv3 CPU interface and its virtual control (IHI 0069)
    "ICC_PMR_EL1": (3, 0, 4, 6, 0), "ICC_IAR0_EL1": (3, 0, 12, 8, 0), "ICC_EOIR0_EL1": (3, 0, 12, 8, 1),
    "ICC_HPPIR0_EL1": (3, 0, 12, 8, 2), "ICC_BPR0_EL1": (3, 0, 12, 8, 3),
    **{f"ICC_AP0R{n}_EL1": (3, 0, 12, 8, 4 + n) for n in range(4)},
    **{f"ICC_AP1R{n}_EL1": (3, 0, 12, 9, n) for n in range(4)},
    "ICC_DIR_EL1": (3, 0, 12, 11, 1), "ICC_RPR_EL1": (3, 0, 12, 11, 3), "ICC_SGI1R_EL1": (3, 0, 12, 11, 5),
    "ICC_ASGI1R_EL1": (3, 0, 12, 11, 6), "ICC_SGI0R_EL1": (3, 0, 12, 11, 7), "ICC_IAR1_EL1": (3, 0, 12, 12, 0),
    "ICC_EOIR1_EL1": (3, 0, 12, 12, 1), "ICC_HPPIR1_EL1": (3, 0, 12, 12, 2), "ICC_BPR1_EL1": (3, 0, 12, 12, 3),
    "ICC_CTLR_EL1": (3, 0, 12, 12, 4), "ICC_SRE_EL1": (3, 0, 12, 12, 5), "ICC_IGRPEN0_EL1": (3, 0, 12, 12, 6),
    "ICC_IGRPEN1_EL1": (3, 0, 12, 12, 7), "ICC_SRE_EL2": (3, 4, 12, 9, 5), "ICH_HCR_EL2": (3, 4, 12, 11, 0),
    "ICH_VTR_EL2": (3, 4, 12, 11, 1), "ICH_MISR_EL2": (3, 4, 12, 11, 2), "ICH_EISR_EL2": (3, 4, 12, 11, 3),
    "ICH_ELRSR_EL2": (3, 4, 12, 11, 5), "ICH_VMCR_EL2": (3, 4, 12, 11, 7),
    **{f"ICH_AP0R{n}_EL2": (3, 4, 12, 8, n) for n in range(4)},
    **{f"ICH_AP1R{n}_EL2": (3, 4, 12, 9, n) for n in range(4)},
    **{f"ICH_LR{n}_EL2": (3, 4, 12, 12 + n // 8, n % 8) for n in range(16)},
}

# ── instructions (op0 = 1): what HCR_EL2.{TTLB, TSW, TPU, TPCP, TDZ} trap ────────────────────────────────────────────

INSTRUCTIONS: dict[str, Encoding] = {
    "IC IALLUIS": (1, 0, 7, 1, 0), "IC IALLU": (1, 0, 7, 5, 0), "IC IVAU": (1, 3, 7, 5, 1),
    "DC IVAC": (1, 0, 7, 6, 1), "DC ISW": (1, 0, 7, 6, 2), "DC CSW": (1, 0, 7, 10, 2), "DC CISW": (1, 0, 7, 14, 2),
    "DC ZVA": (1, 3, 7, 4, 1), "DC CVAC": (1, 3, 7, 10, 1), "DC CVAU": (1, 3, 7, 11, 1), "DC CVAP": (1, 3, 7, 12, 1),
    "DC CIVAC": (1, 3, 7, 14, 1),
    "AT S1E1R": (1, 0, 7, 8, 0), "AT S1E1W": (1, 0, 7, 8, 1), "AT S1E0R": (1, 0, 7, 8, 2),
    "AT S1E0W": (1, 0, 7, 8, 3), "AT S1E1RP": (1, 0, 7, 9, 0), "AT S1E1WP": (1, 0, 7, 9, 1),
    "AT S1E2R": (1, 4, 7, 8, 0), "AT S1E2W": (1, 4, 7, 8, 1), "AT S12E1R": (1, 4, 7, 8, 4),
    "AT S12E1W": (1, 4, 7, 8, 5), "AT S12E0R": (1, 4, 7, 8, 6), "AT S12E0W": (1, 4, 7, 8, 7),
    "TLBI VMALLE1IS": (1, 0, 8, 3, 0), "TLBI VAE1IS": (1, 0, 8, 3, 1), "TLBI ASIDE1IS": (1, 0, 8, 3, 2),
    "TLBI VAAE1IS": (1, 0, 8, 3, 3), "TLBI VALE1IS": (1, 0, 8, 3, 5), "TLBI VAALE1IS": (1, 0, 8, 3, 7),
    "TLBI VMALLE1": (1, 0, 8, 7, 0), "TLBI VAE1": (1, 0, 8, 7, 1), "TLBI ASIDE1": (1, 0, 8, 7, 2),
    "TLBI VAAE1": (1, 0, 8, 7, 3), "TLBI VALE1": (1, 0, 8, 7, 5), "TLBI VAALE1": (1, 0, 8, 7, 7),
    "TLBI IPAS2E1IS": (1, 4, 8, 0, 1), "TLBI IPAS2LE1IS": (1, 4, 8, 0, 5), "TLBI ALLE2IS": (1, 4, 8, 3, 0),
    "TLBI VAE2IS": (1, 4, 8, 3, 1), "TLBI ALLE1IS": (1, 4, 8, 3, 4), "TLBI VALE2IS": (1, 4, 8, 3, 5),
    "TLBI VMALLS12E1IS": (1, 4, 8, 3, 6), "TLBI IPAS2E1": (1, 4, 8, 4, 1), "TLBI IPAS2LE1": (1, 4, 8, 4, 5),
    "TLBI ALLE2": (1, 4, 8, 7, 0), "TLBI VAE2": (1, 4, 8, 7, 1), "TLBI ALLE1": (1, 4, 8, 7, 4),
    "TLBI VALE2": (1, 4, 8, 7, 5), "TLBI VMALLS12E1": (1, 4, 8, 7, 6),
}

# fmt: on

_NAMES: dict[Encoding, str] = {numbers: known for known, numbers in {**REGISTERS, **INSTRUCTIONS}.items()}
_GENERIC = re.compile(r"S([0-3])_([0-7])_C(1[0-5]|[0-9])_C(1[0-5]|[0-9])_([0-7])", re.IGNORECASE)
_WIDTHS = (4, 8, 16, 16, 8)


def encoding(name: str) -> Encoding:
    """The five numbers of a register or instruction, by name in any case or in the generic form. KeyError: unknown."""
    generic = _GENERIC.fullmatch(name)
    if generic:
        op0, op1, crn, crm, op2 = map(int, generic.groups())
        return op0, op1, crn, crm, op2
    upper = name.upper()
    found = REGISTERS.get(upper) or INSTRUCTIONS.get(upper)
    if found is None:
        raise KeyError(f"{name}: not a system register known here; the generic form S3_0_C1_C0_0 always works")
    return found


def name(numbers: Encoding) -> str:
    """The architecture's name, or the generic form `S3_0_C1_C2_3`."""
    op0, op1, crn, crm, op2 = _checked(numbers)
    return _NAMES.get((op0, op1, crn, crm, op2)) or f"S{op0}_{op1}_C{crn}_C{crm}_{op2}"


def _checked(numbers: Encoding) -> Encoding:
    if len(numbers) != 5 or any(not 0 <= n < limit for n, limit in zip(numbers, _WIDTHS, strict=True)):
        raise ValueError(f"(op0, op1, CRn, CRm, op2) must be below {_WIDTHS}, not {numbers}")
    return numbers


def _numbers(register: str | Encoding) -> Encoding:
    return encoding(register) if isinstance(register, str) else _checked(register)


# ── traps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class SystemAccess(NamedTuple):
    """One MRS, MSR or SYS: which register, which general register (31 is XZR), and the direction."""

    register: Encoding
    rt: int
    is_read: bool

    @property
    def name(self) -> str:
        return name(self.register)


def iss(register: str | Encoding, rt: int, is_read: bool) -> int:
    """The ISS (25 bits) that a trapped access to `register` reports (EC 0x18)."""
    op0, op1, crn, crm, op2 = _numbers(register)
    return op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | (rt & 31) << 5 | crm << 1 | int(is_read)


def from_iss(value: int) -> SystemAccess:
    """The access that an ISS of EC 0x18 reports."""
    register = (value >> 20 & 3, value >> 14 & 7, value >> 10 & 15, value >> 1 & 15, value >> 17 & 7)
    return SystemAccess(register, value >> 5 & 31, bool(value & 1))


# ── instruction words ────────────────────────────────────────────────────────────────────────────────────────────────

_SYSTEM = 0xD5000000


def access(register: str | Encoding, rt: int, is_read: bool) -> int:
    """The A64 instruction word: MRS when `is_read`, else MSR (or SYS when op0 is 1)."""
    op0, op1, crn, crm, op2 = _numbers(register)
    return _SYSTEM | int(is_read) << 21 | op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5 | (rt & 31)


def mrs(rt: int, register: str | Encoding) -> int:
    """`mrs x<rt>, register` as an instruction word."""
    return access(register, rt, True)


def msr(register: str | Encoding, rt: int) -> int:
    """`msr register, x<rt>` as an instruction word."""
    return access(register, rt, False)


def sys(instruction: str | Encoding, rt: int = 31) -> int:
    """`tlbi`, `at`, `dc`, `ic` as an instruction word, by our name for it ("TLBI VAE1IS")."""
    return access(instruction, rt, False)


def from_word(word: int) -> SystemAccess | None:
    """The access an instruction word makes, or None when it is no MRS, MSR (register), SYS or SYSL."""
    if word & 0xFFC00000 != _SYSTEM or not word >> 19 & 3:
        return None
    register = (word >> 19 & 3, word >> 16 & 7, word >> 12 & 15, word >> 8 & 15, word >> 5 & 7)
    return SystemAccess(register, word & 31, bool(word >> 21 & 1))

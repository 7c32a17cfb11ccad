"""The core's state: one record that compiled hooks, the run loop and Python all read and write.

Grouped by who owns what. Everything is uint64, so that the compiled and the interpreted source compute alike; narrower
hardware registers sit in the low bits. `reg` holds the registers that Unicorn knows by a number, `cp` those it knows by
encoding; a batch call fills both, straight into this record.
"""

from __future__ import annotations

import numpy as np

from minivisor.machine.hot import record_at

__all__ = [
    "CORE",
    "CP_NAMES",
    "LIST_REGISTERS",
    "REG_NAMES",
    "STALE_PAGES",
    "TLB_SETS",
    "TLB_WAYS",
    "VECTORS",
    "WORD",
    "WRITE_BREAKPOINT",
    "WRITE_GENERAL",
    "WRITE_REGIME",
    "WRITE_SYSTEM",
    "core_at",
]

LIST_REGISTERS = 16
"""The most list registers a GICv2 can have (GICH_VTR.ListRegs is six bits, GICH_LR0..63; we build up to 16)."""

TLB_SETS, TLB_WAYS = 2048, 16
STALE_PAGES = 8
"""Pages whose code is dropped one by one; more at once, and everything is."""

REG_NAMES = (
    *(f"X{n}" for n in range(31)),
    *("SP", "PC", "PSTATE", "SP_EL0", "SP_EL1", "ELR_EL1", "ESR_EL1", "FAR_EL1", "VBAR_EL1"),
    *("TTBR0_EL1", "TTBR1_EL1", "MAIR_EL1", "PAR_EL1", "CPACR_EL1"),
    *("TPIDR_EL0", "TPIDRRO_EL0", "TPIDR_EL1", "FPCR", "FPSR"),
)
"""Registers with a Unicorn number, in the order of `CORE.reg`."""

CP_NAMES = (
    *("SCTLR_EL1", "TCR_EL1", "HPFAR_EL2", "HCR_EL2", "VTTBR_EL2", "VTCR_EL2", "VMPIDR_EL2", "VPIDR_EL2"),
    *("CNTKCTL_EL1", "CONTEXTIDR_EL1", "CSSELR_EL1", "MDSCR_EL1"),
    *(f"DBG{kind}{n}_EL1" for kind in ("BVR", "BCR") for n in range(6)),
    *(f"DBG{kind}{n}_EL1" for kind in ("WVR", "WCR") for n in range(4)),
    *("SCR_EL3", "MDCR_EL2", "CPTR_EL2", "SPSR_EL1"),
)
"""Registers read and written by encoding. SPSR_EL1 is last: writing one by encoding rebuilds the translation flags.

AFSR0_EL1, AFSR1_EL1 and AMAIR_EL1 read as zero and ignore writes on this core; Unicorn has no storage for them, and writing
one by encoding would overwrite the start of its register file.
"""

VECTORS = 32
"""V0..V31, 128 bits each."""

WRITE_GENERAL, WRITE_SYSTEM, WRITE_REGIME, WRITE_BREAKPOINT = 1, 2, 4, 8
"""What EL2 changed in the record, in `CORE.dirty`: a general register; any other; one whose change leaves the engine's own TLB
wrong; one that must be armed. The latter two are Python's to see to."""

_u8 = "u8"

CORE = np.dtype(
    (
        np.record,
        np.dtype(
            [
                # ── the engine: addresses, set once ──
                *((name, _u8) for name in ("uc", "emu_start", "emu_stop", "reg_read", "reg_write")),
                *((name, _u8) for name in ("reg_read_batch", "reg_write_batch", "context_save", "context_restore")),
                # context: a buffer for one, or (live) the engine's own registers; ..._at count from there
                *((name, _u8) for name in ("context", "live", "syndrome_at", "exclusive_at", "pstate_at", "x0_at")),
                *((name, _u8) for name in ("sp_el0_at", "sp_el1_at", "elr_el1_at", "esr_el1_at", "vbar_el1_at")),
                # batch_...: all of reg, then all of cp, then all of v
                *((name, _u8) for name in ("invalid_address_at", "batch_ids", "batch_values")),
                ("scratch", _u8),
                ("native_mmu", _u8),  # 1: Unicorn walks; 0: our walk
                # ── memory: set once ──
                *((name, _u8) for name in ("ram", "ram_base", "ram_words", "gicv_base")),
                *((name, _u8) for name in ("code_pages", "code_words")),  # a bit a page, see code_pages.py
                # ── registers of the vCPU that is loaded ──
                ("reg", _u8, (len(REG_NAMES),)),
                (
                    "cp",
                    [*((name, "u4") for name in ("crn", "crm", "op0", "op1", "op2", "pad")), ("val", _u8)],
                    (len(CP_NAMES),),
                ),
                ("v", _u8, (2 * VECTORS,)),  # V0..V31, low then high half
                ("dirty", _u8),  # EL2 changed something: write it back before entering the guest
                ("vmid", _u8),
                # ── time, in nanoseconds: one retired instruction is one ──
                *((name, _u8) for name in ("retired", "skipped", "block_pc", "block_insns", "deadline", "horizon")),
                # host_clock: clock_gettime, when time is the host's and no instruction is counted; deadline is a time then
                *((name, _u8) for name in ("host_clock", "host_clock_id", "host_origin", "host_time")),
                *((name, _u8) for name in ("inside", "watcher", "next_look", "wake", "lock", "progress")),  # see watch.py
                ("resumed", _u8),  # 1: the horizon was nobody's business but the host's; the guest is not to notice
                ("counter_cost", _u8),  # ns that a read of the counter takes, beyond its instruction
                # ── generic timer (DDI 0487, D11) ──
                *((name, _u8) for name in ("cntvoff", "cntv_ctl", "cntv_cval", "cntp_ctl", "cntp_cval")),
                *((name, _u8) for name in ("cnthp_ctl", "cnthp_cval")),
                # ── physical interrupts: one bit an interrupt id, 0..63 ──
                *((name, _u8) for name in ("lines", "active", "enabled", "signalled")),
                # ── virtual interface control and list registers (IHI 0048B, chapter 5) ──
                # gich_apr: ICH_AP1R0_EL2 too
                *((name, _u8) for name in ("gich_hcr", "gich_vmcr", "gich_apr", "lr_count")),
                *((name, _u8) for name in ("ich_ap0r", "icc_sre")),  # GICv3 alone (IHI 0069)
                ("lr", _u8, (LIST_REGISTERS,)),
                # ── why the run loop returned ──
                *((name, _u8) for name in ("reason", "esr", "far", "hpfar", "error")),
                *((name, _u8) for name in ("interrupt", "attention", "code_stale", "fixed_point")),
                ("stepping", _u8),  # MDSCR_EL1.SS
                ("letters", _u8),  # address of an offer (letters.py), 0 where there is none
                # ── watchpoints (watchpoints.py) ──
                *((name, _u8) for name in ("watching", "watch_stale", "open", "opened", "opened_page", "tlbi")),
                *((name, _u8) for name in ("kept_hcr", "kept_mdcr", "kept_mdscr", "kept_ss")),
                *((name, _u8) for name in ("stale_count", "window")),
                ("stale_page", _u8, (STALE_PAGES,)),
                # ── the last fault our walk found ──
                *((name, _u8) for name in ("fault_kind", "fault_stage", "fault_status", "fault_ipa", "fault_s1ptw")),
                ("fault_va", _u8),
                ("fault_pc", _u8),
                # ── counters outside the digest ──
                *((name, _u8) for name in ("fills", "walks", "tlb_flushes", "entries_el1", "restarts")),
                ("fills_at_flush", _u8),  # how many there were when our hooks last flushed the engine's TLB
                ("moved", _u8),  # bytes of registers between the engine and this record, for EL2
                # ── the architectural TLB ──
                ("regime_stale", _u8),
                ("pieces", _u8),  # 1: some entries are less than their stage-1 descriptor maps
                ("tagged", _u8),  # 1: Unicorn's own TLB may hold a page under a tagged address
                *(
                    (name, _u8, (TLB_SETS * TLB_WAYS,))
                    for name in ("tlb_page", "tlb_context", "tlb_leaf", "tlb_pa", "tlb_ipa")
                ),
            ],
            align=True,
        ),
    )
)

core_at = record_at(CORE)
"""address -> the core record there; for hot code."""

WORD = {name: offset // 8 for name, (_kind, offset, *_) in (CORE.fields or {}).items()}
"""Position of a field in the record seen as 64-bit words: the quick way in from Python."""

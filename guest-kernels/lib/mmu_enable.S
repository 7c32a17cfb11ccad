// Turning stage 1 on and off. Everything that decides how a walk goes is written first, then one ISB, then the TLB is
// emptied of what reset left there, and only then SCTLR_EL1.M (DDI 0487, D8.2.1; TCR_EL1, MAIR_EL1, SCTLR_EL1).

#define TCR_T0SZ        (64 - 39)
#define TCR_T1SZ        ((64 - 39) << 16)
#define TCR_TTBR0_WBWA  (1 << 8 | 1 << 10 | 3 << 12)    // IRGN0, ORGN0, SH0: walks are cached, inner shareable
#define TCR_TTBR1_WBWA  (1 << 24 | 1 << 26 | 3 << 28)
#define TCR_TG1_4K      (2 << 30)                       // TG0 = 0 is 4 KiB; TG1 has an encoding of its own
#define TCR_LOW         (TCR_T0SZ | TCR_T1SZ | TCR_TTBR0_WBWA | TCR_TTBR1_WBWA)

// RES1 of ARMv8.0, bits 29 28 23 22 20 11; M, C, I; WXN: what is writable is not executed, whatever the tables say;
// nTWI, nTWE: EL0 may wait; SA, SA0: stack pointers are aligned.
#define SCTLR_RES1      0x30d00800
#define SCTLR_ON        (1 << 0 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 12 | 1 << 16 | 1 << 18 | 1 << 19)

        .section .text, "ax"
        .global mmu_enable
mmu_enable:
        ldr     x2, =0x000000000044ff04         // MAIR_VALUE of mmu.h
        msr     mair_el1, x2
        ldr     x2, =(TCR_LOW | TCR_TG1_4K)
        mrs     x3, id_aa64mmfr0_el1            // PARange, bits 3:0, has the encoding of TCR_EL1.IPS, bits 34:32
        and     x3, x3, #7
        cmp     x3, #5                          // 52 bits need another descriptor format: ask for 48 at most
        mov     x4, #5
        csel    x3, x3, x4, ls
        bfi     x2, x3, #32, #3
        msr     tcr_el1, x2
        msr     ttbr0_el1, x0
        msr     ttbr1_el1, x1
        isb
        tlbi    vmalle1
        dsb     nsh
        isb
        ldr     x2, =(SCTLR_RES1 | SCTLR_ON)
        msr     sctlr_el1, x2
        isb
        ret

        .global mmu_disable
mmu_disable:
        ldr     x0, =SCTLR_RES1
        msr     sctlr_el1, x0
        isb
        tlbi    vmalle1
        dsb     nsh
        isb
        ret

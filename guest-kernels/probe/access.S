// The accesses, and vectors that survive them. Each access is a leaf function: X30 is its return address and stays so, so
// whatever it raises, the handler can give X0 = ESR_EL1, X1 = FAR_EL1 and return to X30, as if the function had.

        .text
        .macro  outcome_none
        mov     x9, x0
        mov     x0, xzr
        mov     x1, xzr
        .endm

        .global probe_read
probe_read:
        outcome_none
        ldr     w1, [x9]
        ret

        .global probe_write
probe_write:
        outcome_none
        mov     w10, #0x5a5a
        movk    w10, #0x5a5a, lsl #16
        str     w10, [x9]
        dsb     sy
        ret

        .global probe_fetch
probe_fetch:
        outcome_none
        br      x9

        .global probe_translate
probe_translate:
        outcome_none
        at      s1e1r, x9
        isb
        mrs     x1, par_el1
        ret

        .global vectors
        .balign 0x800
vectors:
        .rept   16
        .balign 0x80
        mrs     x0, esr_el1
        mrs     x1, far_el1
        msr     elr_el1, x30
        eret
        .endr
        .balign 0x80

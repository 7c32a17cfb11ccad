// "svc": the way from EL0 to EL1 and back, and nothing else.

        .text
        .global run_at_el0
run_at_el0:                             // (turns): returns when EL0 has made that many calls
        stp     x29, x30, [sp, #-16]!
        adrp    x1, user_loop
        add     x1, x1, :lo12:user_loop
        msr     elr_el1, x1
        mov     x1, #0x3c0              // SPSR_EL1: EL0t, DAIF masked
        msr     spsr_el1, x1
        eret

user_done:                              // SP_EL1 is where run_at_el0 left it
        ldp     x29, x30, [sp], #16
        ret

        .global user_vectors
        .balign 0x800
user_vectors:
        .rept   8                       // nothing is expected from EL1
        .balign 0x80
        b       .
        .endr
        .balign 0x80                    // EL0, AArch64, synchronous: SVC #0 goes back at once, SVC #1 is the last
        mrs     x9, esr_el1
        tbnz    x9, #0, user_done
        eret
        .rept   7
        .balign 0x80
        b       .
        .endr
        .balign 0x80

        .section .user.text, "ax"
user_loop:
        svc     #0
        subs    x0, x0, #1
        b.ne    user_loop
        svc     #1

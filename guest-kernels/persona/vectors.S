// The vector table of EL1 and the way into C and back (DDI 0487, D1.3.1.5 "Exception vectors").
//
// All general registers go into a frame on SP_EL1, with the three that say where to return:
//
//      SP -> | x0 x1 … x30 | SP_EL0 | ELR_EL1 | SPSR_EL1 |     34 words, struct frame in kernel.h

#define FRAME_SIZE      (34 * 8)

        .macro  vector handler, argument
        .balign 0x80
        sub     sp, sp, #FRAME_SIZE
        stp     x0, x1, [sp, #0]
        mov     x1, #\argument
        adr     x0, \handler
        b       enter
        .endm

        .text
        .global vectors
        .balign 0x800
vectors:
        vector  panic_exception, 0      // current EL, SP_EL0: never used here
        vector  panic_exception, 1
        vector  panic_exception, 2
        vector  panic_exception, 3
        vector  panic_exception, 4      // current EL, SP_EL1
        vector  handle_irq, 5
        vector  panic_exception, 6
        vector  panic_exception, 7
        vector  handle_el0_sync, 8      // EL0, AArch64
        vector  handle_irq, 9
        vector  panic_exception, 10
        vector  panic_exception, 11
        vector  panic_exception, 12     // EL0, AArch32
        vector  panic_exception, 13
        vector  panic_exception, 14
        vector  panic_exception, 15
        .balign 0x80

// X0 = handler(frame, vector), X1 = vector; the interrupted X0 and X1 are in the frame already.
enter:
        stp     x2, x3, [sp, #16 * 1]
        stp     x4, x5, [sp, #16 * 2]
        stp     x6, x7, [sp, #16 * 3]
        stp     x8, x9, [sp, #16 * 4]
        stp     x10, x11, [sp, #16 * 5]
        stp     x12, x13, [sp, #16 * 6]
        stp     x14, x15, [sp, #16 * 7]
        stp     x16, x17, [sp, #16 * 8]
        stp     x18, x19, [sp, #16 * 9]
        stp     x20, x21, [sp, #16 * 10]
        stp     x22, x23, [sp, #16 * 11]
        stp     x24, x25, [sp, #16 * 12]
        stp     x26, x27, [sp, #16 * 13]
        stp     x28, x29, [sp, #16 * 14]
        mrs     x21, sp_el0
        mrs     x22, elr_el1
        mrs     x23, spsr_el1
        stp     x30, x21, [sp, #16 * 15]
        stp     x22, x23, [sp, #16 * 16]
        mov     x2, x0
        mov     x0, sp
        blr     x2

        .global leave
leave:                                  // SP = the frame to return through
        ldp     x22, x23, [sp, #16 * 16]
        ldp     x30, x21, [sp, #16 * 15]
        msr     sp_el0, x21
        msr     elr_el1, x22
        msr     spsr_el1, x23
        ldp     x2, x3, [sp, #16 * 1]
        ldp     x4, x5, [sp, #16 * 2]
        ldp     x6, x7, [sp, #16 * 3]
        ldp     x8, x9, [sp, #16 * 4]
        ldp     x10, x11, [sp, #16 * 5]
        ldp     x12, x13, [sp, #16 * 6]
        ldp     x14, x15, [sp, #16 * 7]
        ldp     x16, x17, [sp, #16 * 8]
        ldp     x18, x19, [sp, #16 * 9]
        ldp     x20, x21, [sp, #16 * 10]
        ldp     x22, x23, [sp, #16 * 11]
        ldp     x24, x25, [sp, #16 * 12]
        ldp     x26, x27, [sp, #16 * 13]
        ldp     x28, x29, [sp, #16 * 14]
        ldp     x0, x1, [sp, #0]
        add     sp, sp, #FRAME_SIZE
        eret

// enter_app(pc): drop to EL0 for the first time, with interrupts enabled and nothing of the kernel in registers.
        .global enter_app
enter_app:
        sub     sp, sp, #FRAME_SIZE
        mov     x1, sp
        .rept   17
        stp     xzr, xzr, [x1], #16
        .endr
        stp     x0, xzr, [sp, #16 * 16] // SPSR_EL1 = 0: EL0t, DAIF clear
        b       leave

// A table with no way out: each vector is UDF #0, so the first exception taken here is taken again at its own vector,
// with the same syndrome, for ever. Whoever watches a guest can tell that it will never do anything else.
        .global broken_vectors
        .balign 0x800
broken_vectors:
        .fill   0x800, 1, 0

// fall_over(): take an Undefined Instruction exception into broken_vectors.
        .global fall_over
fall_over:
        msr     daifset, #0xf
        adr     x0, broken_vectors
        msr     vbar_el1, x0
        isb
        .inst   0x00000000              // UDF #0 (DDI 0487, C6.2, permanently undefined)

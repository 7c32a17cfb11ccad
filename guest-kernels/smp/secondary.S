// Where PSCI starts the other CPUs, and the vectors of all of them.
//
// CPU_ON gives one argument in X0: the address of the tables, a whole page, plus the number of the CPU. So nothing is read
// from memory before the MMU is on, which a cache could still keep from this CPU (DEN0022, 6.4; DDI 0487, B2.8).

#define FRAME_SIZE (22 * 8)

        .text
        .global secondary_entry
secondary_entry:
        and     x19, x0, #0xfff
        and     x0, x0, #~0xfff
        mov     x1, x0
        bl      mmu_enable
        adrp    x1, stacks
        add     x1, x1, :lo12:stacks
        add     x2, x19, #1
        add     x1, x1, x2, lsl #12
        mov     sp, x1
        adrp    x1, vectors
        add     x1, x1, :lo12:vectors
        msr     vbar_el1, x1
        isb
        mov     x29, xzr
        mov     x0, x19
        bl      secondary
        b       .

        .macro  reject vector
        .balign 0x80
        mov     x0, #\vector
        b       unexpected
        .endm

        .global vectors
        .balign 0x800
vectors:
        reject  0
        reject  1
        reject  2
        reject  3
        reject  4
        .balign 0x80                    // current EL, SP_EL1: IRQ
        sub     sp, sp, #FRAME_SIZE
        stp     x0, x1, [sp, #16 * 0]
        stp     x2, x3, [sp, #16 * 1]
        stp     x4, x5, [sp, #16 * 2]
        stp     x6, x7, [sp, #16 * 3]
        stp     x8, x9, [sp, #16 * 4]
        stp     x10, x11, [sp, #16 * 5]
        stp     x12, x13, [sp, #16 * 6]
        stp     x14, x15, [sp, #16 * 7]
        stp     x16, x17, [sp, #16 * 8]
        stp     x18, x29, [sp, #16 * 9]
        str     x30, [sp, #16 * 10]
        bl      on_irq                  // ELR_EL1 and SPSR_EL1 stay: interrupts are masked, and it makes no exception
        ldr     x30, [sp, #16 * 10]
        ldp     x18, x29, [sp, #16 * 9]
        ldp     x16, x17, [sp, #16 * 8]
        ldp     x14, x15, [sp, #16 * 7]
        ldp     x12, x13, [sp, #16 * 6]
        ldp     x10, x11, [sp, #16 * 5]
        ldp     x8, x9, [sp, #16 * 4]
        ldp     x6, x7, [sp, #16 * 3]
        ldp     x4, x5, [sp, #16 * 2]
        ldp     x2, x3, [sp, #16 * 1]
        ldp     x0, x1, [sp, #16 * 0]
        add     sp, sp, #FRAME_SIZE
        eret
        reject  6
        reject  7
        reject  8
        reject  9
        reject  10
        reject  11
        reject  12
        reject  13
        reject  14
        reject  15
        .balign 0x80

        .bss
        .balign 4096
stacks: .skip   8 * 4096                // MAXIMUM_CPUS; CPU 0 keeps the one it was started with

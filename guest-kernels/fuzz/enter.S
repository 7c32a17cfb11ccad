// Into code that nobody vouches for, and back. The code may have changed every register and the level it runs at, so nothing
// is kept in registers: a vector either steps over the instruction, or starts the interpreter anew on a fresh stack.
//
//     ELR_EL1 in the code area, the word there not 0 ── skip: ELR + 4, ERET        otherwise ── the next operation
//
// X29 and X30 are the price of having nowhere to save them. A fault in here, such as a code page that is no longer readable,
// arrives with ELR_EL1 outside the code area: the next operation.

#define CODE_AREA       (0x40180000 >> 19)      // CODE in fuzz.h; the scratch page is the last of these 512 KiB
#define SKIPPED         0x18                    // offset in the mailbox

        .text
        .global enter
enter:
        msr     elr_el1, x0
        msr     spsr_el1, x2
        ldr     x3, [x1, #248]
        msr     sp_el0, x3
        mov     x30, x1
        ldp     x0, x1, [x30]
        ldp     x2, x3, [x30, #16]
        ldp     x4, x5, [x30, #32]
        ldp     x6, x7, [x30, #48]
        ldp     x8, x9, [x30, #64]
        ldp     x10, x11, [x30, #80]
        ldp     x12, x13, [x30, #96]
        ldp     x14, x15, [x30, #112]
        ldp     x16, x17, [x30, #128]
        ldp     x18, x19, [x30, #144]
        ldp     x20, x21, [x30, #160]
        ldp     x22, x23, [x30, #176]
        ldp     x24, x25, [x30, #192]
        ldp     x26, x27, [x30, #208]
        ldp     x28, x29, [x30, #224]
        ldr     x30, [x30, #240]
        eret

skip:
        mrs     x30, elr_el1
        lsr     x29, x30, #19
        sub     x29, x29, #CODE_AREA
        cbnz    x29, again
        tst     x30, #3                         // a misaligned PC does not get better by 4
        b.ne    again
        ldr     w29, [x30]
        cbz     w29, again
        add     x30, x30, #4
        msr     elr_el1, x30
        mrs     x29, spsr_el1
        and     x29, x29, #~(1 << 20)           // PSTATE.IL would make the next one illegal too
        msr     spsr_el1, x29
        mov     x30, #0x40100000
        ldr     x29, [x30, #SKIPPED]
        add     x29, x29, #1
        str     x29, [x30, #SKIPPED]
        eret

again:
        adrp    x0, __stack_top
        mov     sp, x0
        b       next_operation

        .global vectors
        .balign 0x800
vectors:
        .rept   4
        .balign 0x80
        b       skip
        .rept   3                               // IRQ, FIQ, SError
        .balign 0x80
        b       again
        .endr
        .endr
        .balign 0x80

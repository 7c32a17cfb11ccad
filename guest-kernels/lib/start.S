// Entry of the guests that run at physical addresses (hello, bench, probe): EL1h, MMU and caches off, interrupts masked,
// X0 = address of the device tree or 0. Gives C what it expects, a stack and a zeroed .bss, and calls main(X0).
//
// A stack pointer must be 16-byte aligned (DDI 0487, SCTLR_EL1.SA), and so are both ends of .bss in identity.ld.

        .section .text.start, "ax"
        .global _start
_start:
        adrp    x1, __stack_top
        mov     sp, x1

        adrp    x1, __bss_start
        add     x1, x1, :lo12:__bss_start
        adrp    x2, __bss_end
        add     x2, x2, :lo12:__bss_end
1:      cmp     x1, x2
        b.hs    2f
        str     xzr, [x1], #8
        b       1b

2:      mov     x29, xzr                // the chain of frame records ends here
        mov     x30, xzr
        bl      main
3:      wfi                             // main of these guests does not return
        b       3b

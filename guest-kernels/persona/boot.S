// From reset to kernel_main: EL1h, MMU off, X0 = device tree. Runs at its load address; every symbol is reached relative
// to PC (ADRP), so it gives physical addresses until the jump at the end, and virtual ones after.

#include "abi.h"

        .section .text.start, "ax"
        .global _start
_start:
        msr     daifset, #0xf
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

2:      cbnz    x0, 3f
        adrp    x0, _start              // no device tree given: a loader that says nothing leaves it at RAM base,
        sub     x0, x0, #0x200000       // 2 MiB below the image
3:      bl      boot_read_platform      // (device tree)
        bl      boot_build_tables       // () -> X0 = identity root, X1 = kernel root
        bl      mmu_enable

        ldr     x1, =__stack_top
        mov     sp, x1
        ldr     x1, =vectors
        msr     vbar_el1, x1
        isb
        mov     x29, xzr
        mov     x30, xzr
        ldr     x1, =kernel_main
        br      x1

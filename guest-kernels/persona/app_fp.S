// fp_hold(state, block, spin): every FP register held live across `spin` turns of an empty loop, in which the hypervisor
// may preempt, and across a system call that may sleep. What comes back is stored; it must be what was loaded.
//
// X0 = struct fp_state: FPCR, FPSR, V0..V31. Returns the system call's answer. The app's C uses no FP registers outside
// app_fp.c, and that file keeps nothing in them over a call, so none has to be saved here.

#include "abi.h"

        .text
        .global fp_hold
fp_hold:
        mov     x9, x0
        ldp     x10, x11, [x9]
        msr     fpcr, x10
        msr     fpsr, x11
        .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        ldr     q\n, [x9, #16 + 16 * \n]
        .endr

1:      cbz     x2, 2f
        sub     x2, x2, #1
        b       1b

2:      mov     x0, x1
        mov     x8, #SYS_WAIT_FOR_EVENT
        svc     #0

        .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        str     q\n, [x9, #16 + 16 * \n]
        .endr
        mrs     x10, fpcr
        mrs     x11, fpsr
        stp     x10, x11, [x9]
        ret

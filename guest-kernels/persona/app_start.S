// The app's first page: where enter_app() arrives, at EL0 with nothing in its registers.

#include "abi.h"

        .section .text.start, "ax"
        adrp    x0, __app_stack_top
        mov     sp, x0
        bl      app_main
        mov     x0, xzr
        mov     x8, #SYS_EXIT
        svc     #0

/*
 * What the kernel and its app have agreed on: where the app lives, and the system calls.
 *
 * A call is SVC #0 with its number in X8 and arguments in X0..X5; the answer comes back in X0. The kernel keeps all other
 * registers, the FP registers among them: it does not use FP at all.
 */
#pragma once

#define APP_BASE 0x400000          /* where TTBR0 shows the app's image */
#define KERNEL_OFFSET 0xffffff8000000000 /* TTBR1 shows physical address p at KERNEL_OFFSET + p */

#define SYS_EXIT 0           /* (status) */
#define SYS_WRITE 1          /* (text, length): to the console */
#define SYS_GET_TIME 2       /* () -> nanoseconds since boot */
#define SYS_FILL_RECT 3      /* (x, y, width, height, r5g6b5) */
#define SYS_DRAW_TEXT 4      /* (x, y, text, length, ink | paper << 16, scale) -> x after the text */
#define SYS_READ_KEY 5       /* () -> a byte, or -1 */
#define SYS_WAIT_FOR_EVENT 6 /* (block) -> EVENT bits since the last call, 0 when there are none and block is 0 */
#define SYS_DESCRIBE 7       /* (struct description *): who and what the app runs on */

#define EVENT_TICK 1
#define EVENT_KEY 2

#define TICK_HZ 100

#define NO_SUCH_CALL (-1)
#define BAD_ADDRESS (-2)

#ifndef __ASSEMBLER__
struct description {
    unsigned width, height; /* pixels; 0 without a framebuffer */
    unsigned colour;        /* 0xRRGGBB */
    unsigned ticks;         /* since boot */
    char name[16];
};
#endif

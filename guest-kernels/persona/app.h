/* The app's own headers: system calls as functions, and what its files share. It is a program of its own at EL0 and links
 * to nothing of the kernel's. */
#pragma once

#include "abi.h"

typedef unsigned short pixel;

static inline long call(long number, long a0, long a1, long a2, long a3, long a4, long a5)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a0;
    register long x1 __asm__("x1") = a1;
    register long x2 __asm__("x2") = a2;
    register long x3 __asm__("x3") = a3;
    register long x4 __asm__("x4") = a4;
    register long x5 __asm__("x5") = a5;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5), "r"(x8) : "memory");
    return x0;
}

static inline void write(const char *text, long length) { call(SYS_WRITE, (long)text, length, 0, 0, 0, 0); }
static inline unsigned long get_time(void) { return (unsigned long)call(SYS_GET_TIME, 0, 0, 0, 0, 0, 0); }
static inline int read_key(void) { return (int)call(SYS_READ_KEY, 0, 0, 0, 0, 0, 0); }
static inline long wait_for_event(int block) { return call(SYS_WAIT_FOR_EVENT, block, 0, 0, 0, 0, 0); }
static inline void describe(struct description *to) { call(SYS_DESCRIBE, (long)to, 0, 0, 0, 0, 0); }

static inline void fill_rect(int x, int y, int width, int height, pixel colour)
{
    call(SYS_FILL_RECT, x, y, width, height, colour, 0);
}

static inline int draw_text(int x, int y, const char *text, int length, pixel ink, pixel paper, int scale)
{
    return (int)call(SYS_DRAW_TEXT, x, y, (long)text, length, ink | (long)paper << 16, scale);
}

/* app_draw.c. Colours are 0xRRGGBB until `to_pixel`. */
pixel to_pixel(unsigned colour);
unsigned mix(unsigned from, unsigned to, int sixteenths); /* 0 gives `from`, 16 gives `to` */
int is_light(unsigned colour);
void fill_rounded(int x, int y, int width, int height, pixel colour);
void draw_icon(int x, int y, int icon, pixel ink);
int text_length(const char *text);
void to_digits(unsigned value, char *digits, int count); /* zero-padded, the lowest `count` of them */

/* app_fp.S, app_fp.c */
struct fp_state {
    unsigned long fpcr, fpsr;
    double v[64]; /* two lanes for each of V0..V31 */
};
long fp_hold(struct fp_state *state, long block, unsigned long spin);
void fp_start(unsigned seed);
long fp_wait(int block, unsigned long spin); /* wait_for_event with FP state at stake */
void fp_report(const char *name);            /* one line on the console */

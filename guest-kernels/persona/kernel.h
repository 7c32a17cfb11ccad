/* What the parts of the kernel know of each other. Each function is defined in the file named in its heading. */
#pragma once

#include "abi.h"
#include "arch.h"
#include "fdt.h"

/* platform.c: what the device tree said, read once before the MMU is on. Addresses are physical. */
struct platform {
    u64 ram_base, ram_size;
    u64 uart, gic_distributor, gic_cpu_interface;
    u32 uart_intid, timer_intid;
    u64 framebuffer; /* 0 when there is none */
    u32 width, height, stride;
    u32 colour;
    char name[16];
};
extern struct platform platform;
void boot_read_platform(const void *tree);

/* tables.c: stage 1. The kernel sees physical address p at virtual(p). */
struct roots {
    u64 identity, kernel;
};
struct roots boot_build_tables(void);
void switch_to_app_tables(void);
__attribute__((noreturn)) void boot_fail(const char *why);
static inline u64 virtual(u64 physical) { return physical + KERNEL_OFFSET; }

/* vectors.S */
struct frame {
    u64 x[31], sp_el0, elr, spsr;
};
__attribute__((noreturn)) void enter_app(u64 pc);
__attribute__((noreturn)) void fall_over(void);

/* kernel.c */
__attribute__((noreturn)) void panic(const char *why);
void print_name(void); /* "<name>: " */

/* gic.c */
void gic_enable(void);
void gic_enable_interrupt(u32 intid);
void gic_disable(void);
u32 gic_acknowledge(void); /* the value of GICC_IAR, to be given back to gic_complete */
void gic_complete(u32 acknowledged);
#define GIC_INTID(acknowledged) ((acknowledged) & 0x3ff)
#define GIC_SPURIOUS 1020u /* and above: nothing is pending */

/* tick.c: the virtual timer, 100 times a second */
void tick_enable(void);
void tick_disable(void);
void tick_interrupt(void);
u64 tick_count(void);
u64 nanoseconds(void);

/* console.c: keys from the UART */
void console_interrupt(void);
int console_key(void);

/* events.c: what the app waits for */
void event_raise(u32 events);
u32 event_wait(bool block);

/* screen.c */
void fill_rect(u64 x, u64 y, u64 width, u64 height, u16 colour);
u64 draw_character(u64 x, u64 y, u8 character, u16 ink, u16 paper, u64 scale); /* returns its advance in pixels */

/* system_calls.c */
u64 system_call(struct frame *frame);

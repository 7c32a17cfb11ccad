/*
 * The A64 instructions that C has no words for: system registers, barriers, hints, device accesses.
 *
 * Two rules are kept here so that no other file has to think of them.
 *
 *  - A device register is touched only by a single-register load or store without writeback. Under a hypervisor such an
 *    access may trap, and only that form reports a valid syndrome (DDI 0487, ESR_EL2, ISS encoding for a Data Abort,
 *    ISV): an LDP or a post-indexed store would leave the hypervisor with nothing but an address. A volatile pointer
 *    does not promise the form, an asm statement does.
 *  - A system register write that later instructions depend on is followed by an ISB at the place of use, where the
 *    reader can see it (DDI 0487, B2.3.12 "Instruction Synchronization Barrier").
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE_SIZE 4096ul

#define read_sysreg(name)                                        \
    ({                                                           \
        u64 value_;                                              \
        __asm__ volatile("mrs %0, " #name : "=r"(value_)::"memory"); \
        value_;                                                  \
    })

#define write_sysreg(name, value) __asm__ volatile("msr " #name ", %0" ::"r"((u64)(value)) : "memory")

static inline void isb(void) { __asm__ volatile("isb" ::: "memory"); }
static inline void dsb_ish(void) { __asm__ volatile("dsb ish" ::: "memory"); }
static inline void wfi(void) { __asm__ volatile("dsb sy\n\twfi" ::: "memory"); }

/* PSTATE.I: DAIFSet and DAIFClr take a mask of D=8, A=4, I=2, F=1. */
static inline void irq_disable(void) { __asm__ volatile("msr daifset, #2" ::: "memory"); }
static inline void irq_enable(void) { __asm__ volatile("msr daifclr, #2" ::: "memory"); }

static inline u32 mmio_read32(u64 address)
{
    u32 value;
    __asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
    return value;
}

static inline void mmio_write32(u64 address, u32 value)
{
    __asm__ volatile("str %w0, [%1]" ::"r"(value), "r"(address) : "memory");
}

static inline void mmio_write8(u64 address, u8 value)
{
    __asm__ volatile("strb %w0, [%1]" ::"r"(value), "r"(address) : "memory");
}

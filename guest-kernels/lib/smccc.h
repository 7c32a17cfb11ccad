/*
 * Calls to the hypervisor: the SMC Calling Convention (DEN0028) over HVC #0, and PSCI (DEN0022) on top of it.
 *
 * The function id goes in W0, arguments in X1..X3, the answer comes in X0. X4..X17 may be lost, the rest is kept.
 */
#pragma once

#include "arch.h"

#define PSCI_VERSION 0x84000000u
#define PSCI_SYSTEM_OFF 0x84000008u
#define PSCI_SYSTEM_RESET 0x84000009u
#define SMCCC_NOT_SUPPORTED (-1l)

static inline long hvc(u32 function, u64 a1, u64 a2, u64 a3)
{
    register u64 x0 __asm__("x0") = function;
    register u64 x1 __asm__("x1") = a1;
    register u64 x2 __asm__("x2") = a2;
    register u64 x3 __asm__("x3") = a3;
    __asm__ volatile("hvc #0"
                     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::"x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12",
                       "x13", "x14", "x15", "x16", "x17", "memory");
    return (long)x0;
}

/* Neither of these returns; the loop only holds the core should the hypervisor disagree. */
static inline __attribute__((noreturn)) void psci_system_off(void)
{
    hvc(PSCI_SYSTEM_OFF, 0, 0, 0);
    for (;;)
        wfi();
}

static inline __attribute__((noreturn)) void psci_system_reset(void)
{
    hvc(PSCI_SYSTEM_RESET, 0, 0, 0);
    for (;;)
        wfi();
}

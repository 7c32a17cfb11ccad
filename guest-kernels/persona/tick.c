/*
 * Time: the virtual counter, and the virtual timer that fires 100 times a second (DDI 0487, D11.2 "The AArch64 view of the
 * Generic Timer").
 *
 * CNTV_CVAL_EL0 moves on by whole periods from where it was, so ticks do not drift; a persona that was kept waiting for
 * longer than a period counts the ticks it missed instead of taking them one after the other.
 */

#include "kernel.h"

#define CNTV_CTL_ENABLE 1

static u64 boot_count, period, deadline, ticks;

static u64 counter(void)
{
    isb(); /* the read is not done early (DDI 0487, D11.2.2) */
    return read_sysreg(cntvct_el0);
}

void tick_enable(void)
{
    boot_count = counter();
    period = read_sysreg(cntfrq_el0) / TICK_HZ;
    deadline = boot_count + period;
    write_sysreg(cntv_cval_el0, deadline);
    write_sysreg(cntv_ctl_el0, CNTV_CTL_ENABLE);
}

void tick_disable(void)
{
    write_sysreg(cntv_ctl_el0, 0);
}

void tick_interrupt(void)
{
    u64 now = counter();
    if (now < deadline)
        return;
    u64 late = (now - deadline) / period;
    ticks += late + 1;
    deadline += (late + 1) * period;
    write_sysreg(cntv_cval_el0, deadline);
    isb(); /* the timer's line is low before the interrupt is completed */
    event_raise(EVENT_TICK);
}

u64 tick_count(void)
{
    return ticks;
}

u64 nanoseconds(void)
{
    u64 hz = read_sysreg(cntfrq_el0), passed = counter() - boot_count;
    return passed / hz * 1000000000 + passed % hz * 1000000000 / hz;
}

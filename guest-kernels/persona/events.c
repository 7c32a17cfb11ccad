/* What the app can wait for. Interrupt handlers raise bits; the one waiter takes them all. */

#include "kernel.h"

static volatile u32 raised;

void event_raise(u32 events)
{
    raised |= events;
}

/*
 * Called with interrupts masked. WFI wakes for a pending interrupt even then (DDI 0487, D1.6 "Wait For Interrupt"), so
 * there is no moment between looking at `raised` and sleeping in which a wake-up could be lost.
 */
u32 event_wait(bool block)
{
    while (block && !raised) {
        wfi();
        irq_enable();
        isb();
        irq_disable();
    }
    u32 events = raised;
    raised = 0;
    return events;
}

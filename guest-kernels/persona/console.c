/*
 * Keys. Each byte the UART receives is an interrupt; it goes into a ring for the app, unless it is one of the letters by
 * which tests and demonstrations make this kernel misbehave or leave.
 */

#include "kernel.h"
#include "pl011.h"
#include "print.h"
#include "smccc.h"

#define RING 32u

static u8 ring[RING];
static u32 written, taken; /* free-running; their difference is what the ring holds */

/* Sleep with every source that could wake this core turned off at the source. */
static __attribute__((noreturn)) void sleep_for_ever(void)
{
    irq_disable();
    tick_disable();
    gic_disable();
    for (;;)
        wfi();
}

static void command(u8 key)
{
    switch (key) {
    case 'P':
        panic("asked to");
    case 'W':
        sleep_for_ever();
    case 'O':
        psci_system_off();
    case 'B':
        psci_system_reset();
    }
}

static void echo(u8 key)
{
    print_name();
    print("key '");
    print_bytes((char *)&key, key >= ' ' && key < 127);
    print("'\n");
}

/* Cleared first and emptied after: a byte that comes in between has an interrupt to itself, at worst an idle one. */
void console_interrupt(void)
{
    pl011_clear_interrupts();
    for (int key; (key = pl011_get()) >= 0;) {
        echo((u8)key);
        command((u8)key);
        if (written - taken < RING)
            ring[written++ % RING] = (u8)key;
    }
    event_raise(EVENT_KEY);
}

int console_key(void)
{
    return taken == written ? -1 : ring[taken++ % RING];
}

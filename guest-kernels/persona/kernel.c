/* The kernel once it runs at virtual addresses: start the devices and the app, then live in exceptions. */

#include "kernel.h"

#include "pl011.h"
#include "print.h"

#define ESR_EC(esr) ((esr) >> 26 & 0x3f)
#define EC_SVC64 0x15

extern char _start[];

void print_name(void)
{
    print(platform.name);
    print(": ");
}

void panic(const char *why)
{
    irq_disable();
    print_name();
    print("panic, ");
    print(why);
    print("\n");
    fall_over();
}

void panic_exception(const struct frame *frame, u64 vector)
{
    print_name();
    print("vector ");
    print_decimal(vector);
    print(", ESR_EL1 ");
    print_hex(read_sysreg(esr_el1));
    print(", ELR_EL1 ");
    print_hex(frame->elr);
    print(", FAR_EL1 ");
    print_hex(read_sysreg(far_el1));
    print("\n");
    panic("unexpected exception");
}

/* The app did something EL0 may not do. It ends; the kernel goes on ticking, and answers the console. */
static void end_app(const struct frame *frame, u64 esr)
{
    print_name();
    print("app stopped, ESR_EL1 ");
    print_hex(esr);
    print(", PC ");
    print_hex(frame->elr);
    print("\n");
    for (;;)
        event_wait(true);
}

void handle_el0_sync(struct frame *frame)
{
    u64 esr = read_sysreg(esr_el1);
    if (ESR_EC(esr) != EC_SVC64)
        end_app(frame, esr);
    frame->x[0] = system_call(frame);
}

void handle_irq(void)
{
    u32 acknowledged = gic_acknowledge();
    u32 intid = GIC_INTID(acknowledged);
    if (intid >= GIC_SPURIOUS)
        return;
    if (intid == platform.timer_intid)
        tick_interrupt();
    else if (intid == platform.uart_intid)
        console_interrupt();
    gic_complete(acknowledged);
}

static void print_boot_lines(void)
{
    print_name();
    print("kernel at ");
    print_hex((u64)_start);
    print(", MMU on, tick ");
    print_decimal(TICK_HZ);
    print(" Hz\n");
    print_name();
    print_decimal(platform.ram_size >> 20);
    print(" MiB, screen ");
    print_decimal(platform.width);
    print("x");
    print_decimal(platform.height);
    print("\n");
}

void kernel_main(void)
{
    pl011_base = virtual(platform.uart);
    pl011_enable();
    print_boot_lines();

    switch_to_app_tables();
    write_sysreg(cpacr_el1, 3ul << 20); /* FPEN: the app may use FP and so may EL1, which does not */

    gic_enable();
    gic_enable_interrupt(platform.timer_intid);
    gic_enable_interrupt(platform.uart_intid);
    pl011_enable_receive_interrupt();
    console_interrupt(); /* a byte that came before this raised its interrupt too early to be seen */
    tick_enable();

    enter_app(APP_BASE);
}

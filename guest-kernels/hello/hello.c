/*
 * hello: the smallest guest that shows it is one.
 *
 * It runs as the reset left it, at EL1 with the MMU off, so every data access is Device memory at a physical address
 * (an IPA, as a hypervisor sees it). What traps is plain to see: two accesses to the PL011 for each character, then two
 * HVCs, one that asks and one that ends.
 */

#include "pl011.h"
#include "print.h"
#include "smccc.h"

void main(void)
{
    pl011_enable();
    print("hello from EL");
    print_decimal(read_sysreg(CurrentEL) >> 2); /* CurrentEL.EL is bits 3:2 */
    print("\n");

    u64 version = (u64)hvc(PSCI_VERSION, 0, 0, 0); /* major in 31:16, minor in 15:0 (DEN0022, 5.1.1) */
    print("PSCI ");
    print_decimal(version >> 16 & 0x7fff);
    print(".");
    print_decimal(version & 0xffff);
    print("\n");

    psci_system_off();
}

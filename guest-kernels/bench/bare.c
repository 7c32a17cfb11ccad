/*
 * bench-bare: the same workload for an emulator with nothing around it, no device, no hypervisor, no MMU.
 *
 * Started at its entry at EL1h with X0 = rounds (0 for the default), it leaves the checksum in `result` and in X0 and stays
 * at `done`, an instruction that branches to itself.
 */

#include "arch.h"
#include "bench.h"

u64 result;

__asm__(".text\n.global done\ndone: b done\n");
__attribute__((noreturn)) void done(u64 checksum);

void main(u64 rounds)
{
    write_sysreg(cpacr_el1, 3ul << 20);
    isb();
    result = mixed(rounds ? rounds : DEFAULT_ROUNDS);
    done(result);
}

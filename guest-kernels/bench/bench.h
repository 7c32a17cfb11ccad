/* What bench.c and bare.c share. */
#pragma once

#define DEFAULT_ROUNDS 26ul /* enough for more than 500 million instructions */

/* workload.c: `rounds` times a mixture of ordinary computing; a checksum of all its results. */
unsigned long mixed(unsigned long rounds);

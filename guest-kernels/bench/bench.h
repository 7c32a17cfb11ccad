/* What bench.c and bare.c share. */
#pragma once

#define DEFAULT_ROUNDS 26ul /* enough for more than 500 million instructions */

/* workload.c: `rounds` times a mixture of ordinary computing; a checksum of all its results. */
unsigned long mixed(unsigned long rounds);

/* operations.c: one operation over and over, `turns` times. The table ends with a name of 0. */
struct operation {
    const char *name;
    void (*run)(unsigned long turns);
};
extern const struct operation operation_table[];

/* Their devices in the tables that are in use, their vectors, and the interrupt controller. */
void prepare_operations(unsigned long *root);

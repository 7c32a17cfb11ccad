/*
 * A running floating-point checksum, to show that FP state survives whatever happens to this guest.
 *
 * Each of the 64 lanes of V0..V31 follows a logistic map of its own, x' = 3.99 x (1 - x): it never settles, and a
 * difference in the last bit grows until it is seen. One copy lives in the registers while the app waits, its shadow
 * only in memory; they must stay equal bit for bit, and so must FPCR, whose rounding mode differs between personas.
 */

#include "app.h"

#define LANES 64
#define FPCR_RMODE(mode) ((unsigned long)(mode) << 22)

static struct fp_state held, shadow;

void fp_start(unsigned seed)
{
    for (int lane = 0; lane < LANES; lane++)
        held.v[lane] = shadow.v[lane] = (double)((seed + 977u * (unsigned)lane) % 9973u + 1) / 9975.0;
    held.fpcr = shadow.fpcr = FPCR_RMODE(seed & 3);
    held.fpsr = shadow.fpsr = 0;
}

static void step(struct fp_state *state)
{
    for (int lane = 0; lane < LANES; lane++)
        state->v[lane] = 3.99 * state->v[lane] * (1.0 - state->v[lane]);
}

/* Bits, not values: -0.0 and 0.0 differ here. Rotation keeps equal lanes from cancelling out. */
static unsigned long checksum(const struct fp_state *state)
{
    const unsigned long *words = (const unsigned long *)state->v;
    unsigned long sum = state->fpcr;
    for (int lane = 0; lane < LANES; lane++)
        sum = (sum << 7 | sum >> 57) ^ words[lane];
    return sum;
}

void fp_report(const char *name)
{
    char line[] = ": fp 0x0123456789abcdef ok\n";
    unsigned long sum = checksum(&held);
    int good = sum == checksum(&shadow);
    for (int digit = 0; digit < 16; digit++)
        line[7 + digit] = "0123456789abcdef"[sum >> (60 - 4 * digit) & 15];
    write(name, text_length(name));
    write(line, good ? text_length(line) : text_length(line) - 4);
    if (!good)
        write("CHANGED\n", 8);
}

long fp_wait(int block, unsigned long spin)
{
    long events = fp_hold(&held, block, spin);
    step(&held);
    step(&shadow);
    return events;
}

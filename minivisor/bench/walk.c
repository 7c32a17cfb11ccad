/*
 * The peer of the rows about walks: the two-stage walk of DDI 0487, D8, as one writes it down in C without a second thought.
 *
 * The same rules as minivisor/machine/walk.py, independently: 4 KiB granule, 44-bit output, one function for each stage, and
 * a walk cache for each, of which table of level 3 a region of 2 MiB led to. Compiled with -O3 when the bench runs.
 */

#include <stddef.h>
#include <stdint.h>

typedef uint64_t u64;

struct regime {
    u64 sctlr, tcr, ttbr0, ttbr1, vttbr, vtcr, two_stages;
};

struct memory {
    const u64 *words;
    u64 base, count;
};

enum { ADDRESS_SIZE = 0x100, TRANSLATION = 0x104, ACCESS_FLAG = 0x108, PERMISSION = 0x10c, EXTERNAL_ON_WALK = 0x114 };
enum { READ = 1, WRITE = 2, EXECUTE = 4 };

struct slot { /* region: its number plus one; all: descriptors on the way, or-ed */
    u64 region, table, all, unused;
};

struct caches {
    struct slot stage1[64], stage2[64];
};

#define OUTPUT 0x0000fffffffff000ull

static unsigned output_bits(u64 ps)
{
    static const unsigned bits[8] = {32, 36, 40, 42, 44, 44, 44, 44};
    return bits[ps & 7];
}

static unsigned shift_of(unsigned level) { return 39 - 9 * level; }

static struct slot *slot_of(struct slot *slots, u64 address) { return &slots[address >> 21 & 63]; }

static int load(const struct memory *memory, u64 address, u64 *word)
{
    if (address < memory->base || (address - memory->base) / 8 >= memory->count)
        return 0;
    *word = memory->words[(address - memory->base) / 8];
    return 1;
}

/* The leaf for `ipa`, or a fault. */
static unsigned stage2(const struct memory *memory, const struct regime *regime, struct slot *slots, u64 ipa, u64 *pa, u64 *leaf,
                       unsigned *level)
{
    struct slot *kept = slot_of(slots, ipa);
    unsigned input = 64 - (regime->vtcr & 63), start = regime->vtcr >> 6 & 3, most = output_bits(regime->vtcr >> 16), at = 3;
    u64 table = kept->table, index = ipa >> 12 & 511;
    *level = 0;
    if (kept->region != (ipa >> 21) + 1) {
        if (start == 3)
            return TRANSLATION;
        unsigned top = shift_of(at = 2 - start);
        if (input <= top || input > top + 13 || ipa >> input)
            return TRANSLATION;
        table = regime->vttbr & 0x0000fffffffffffeull & ~((1ull << (input - top + 3)) - 1);
        if (table >> most)
            return ADDRESS_SIZE;
        index = ipa >> top;
    }
    for (;; index = ipa >> shift_of(at) & 511) {
        u64 descriptor;
        *level = at;
        if (!load(memory, table + index * 8, &descriptor))
            return EXTERNAL_ON_WALK + at;
        if (!(descriptor & 1) || (!(descriptor & 2) && (at == 0 || at == 3)))
            return TRANSLATION + at;
        u64 output = descriptor & OUTPUT;
        if (output >> most)
            return ADDRESS_SIZE + at;
        if (at == 3 || !(descriptor & 2)) {
            u64 offset = (1ull << shift_of(at)) - 1;
            if (!(descriptor & 1 << 10))
                return ACCESS_FLAG + at;
            *pa = (output & ~offset) | (ipa & offset);
            *leaf = descriptor;
            return 0;
        }
        table = output;
        if (++at == 3)
            *kept = (struct slot){(ipa >> 21) + 1, table, 0, 0};
    }
}

static unsigned stage2_may(u64 leaf)
{
    unsigned may = leaf >> 6 & 3;
    return may & READ && !(leaf >> 54 & 1) ? may | EXECUTE : may;
}

static unsigned stage1_may(u64 leaf, u64 tables, int wxn, int el0)
{
    int writable = !(leaf >> 7 & 1) && !(tables >> 62 & 1), user = (leaf >> 6 & 1) && !(tables >> 61 & 1);
    int pxn = (leaf >> 53 | tables >> 59) & 1, uxn = (leaf >> 54 | tables >> 60) & 1;
    unsigned may;
    if (el0) {
        may = user ? writable ? READ | WRITE : READ : 0;
        if (!uxn && !(wxn && may & WRITE))
            may |= EXECUTE;
    } else {
        may = writable ? READ | WRITE : READ;
        if (!pxn && !(user && writable) && !(wxn && writable))
            may |= EXECUTE;
    }
    return may;
}

/* The IPA for `va`, or a fault; *s2_ipa is not 0 when stage 2 did not translate the address of a descriptor.
 * Long because it follows the walk from its first check to its last, and a call in between would be measured. */
static unsigned stage1(const struct memory *memory, const struct regime *regime, struct caches *caches, u64 va, int el0, u64 *ipa,
                       unsigned *may, unsigned *level, u64 *s2_ipa)
{
    struct slot *kept = slot_of(caches->stage1, va);
    int upper = va >> 55 & 1;
    unsigned at = 3, most = output_bits(regime->tcr >> 32);
    u64 table = kept->table, tables = kept->all, index = va >> 12 & 511;
    *s2_ipa = 0;
    *level = 0;
    if (kept->region != (va >> 21) + 1) {
        u64 ttbr = upper ? regime->ttbr1 : regime->ttbr0, size = regime->tcr >> (upper ? 16 : 0) & 63, wanted = va;
        size = size < 16 ? 16 : size > 39 ? 39 : size;
        unsigned input = 64 - size, top;
        at = 4 - (input - 4) / 9, top = shift_of(at);
        if (regime->tcr >> (upper ? 38 : 37) & 1)
            wanted = upper ? va | 0xffull << 56 : va & ~(0xffull << 56);
        if (regime->tcr >> (upper ? 23 : 7) & 1 || wanted >> input != (upper ? ~0ull >> input : 0))
            return TRANSLATION;
        table = ttbr & 0x0000fffffffffffeull & ~((1ull << (input - top + 3)) - 1), tables = 0;
        if (table >> most)
            return ADDRESS_SIZE;
        index = (va & ((1ull << input) - 1)) >> top;
    }
    for (;; index = va >> shift_of(at) & 511) {
        u64 address = table + index * 8, descriptor;
        *level = at;
        if (regime->two_stages) {
            u64 leaf = 0;
            unsigned s2_level, fault = stage2(memory, regime, caches->stage2, address, &address, &leaf, &s2_level);
            if (!fault && !(stage2_may(leaf) & READ))
                fault = PERMISSION + s2_level;
            if (fault) {
                *s2_ipa = (table + index * 8) | 1;
                return fault;
            }
        }
        if (!load(memory, address, &descriptor))
            return EXTERNAL_ON_WALK + at;
        if (!(descriptor & 1) || (!(descriptor & 2) && (at == 0 || at == 3)))
            return TRANSLATION + at;
        u64 output = descriptor & OUTPUT;
        if (output >> most)
            return ADDRESS_SIZE + at;
        if (at == 3 || !(descriptor & 2)) {
            u64 offset = (1ull << shift_of(at)) - 1;
            if (!(descriptor & 1 << 10))
                return ACCESS_FLAG + at;
            *ipa = (output & ~offset) | (va & offset);
            *may = stage1_may(descriptor, tables, regime->sctlr >> 19 & 1, el0);
            return 0;
        }
        tables |= descriptor;
        table = output;
        if (++at == 3)
            *kept = (struct slot){(va >> 21) + 1, table, tables, 0};
    }
}

static unsigned translate(const struct memory *memory, const struct regime *regime, struct caches *caches, u64 va, unsigned kind,
                          int el0, u64 *pa)
{
    u64 ipa = va, leaf = 0, s2_ipa;
    unsigned level, may, fault;
    if (regime->sctlr & 1) {
        fault = stage1(memory, regime, caches, va, el0, &ipa, &may, &level, &s2_ipa);
        if (!fault && !(may & kind))
            fault = PERMISSION + level;
        if (fault)
            return fault;
    } else if (ipa >> 44) {
        return ADDRESS_SIZE;
    }
    *pa = ipa;
    if (!regime->two_stages)
        return 0;
    fault = stage2(memory, regime, caches->stage2, ipa, pa, &leaf, &level);
    return fault ? fault : stage2_may(leaf) & kind ? 0 : PERMISSION + level;
}

/* pa[n], status[n]: 0, or 0x100 and the fault status code. */
void walk_all(const u64 *words, u64 base, u64 count, const struct regime *regime, const u64 *vas, u64 n, unsigned kind, int el0,
              u64 *pa, u64 *status)
{
    struct memory memory = {words, base, count};
    struct caches caches = {0};
    for (u64 i = 0; i < n; i++) {
        pa[i] = 0;
        status[i] = translate(&memory, regime, &caches, vas[i], kind, el0, &pa[i]);
    }
}

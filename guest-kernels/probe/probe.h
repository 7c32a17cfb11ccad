/*
 * The mailbox: what to try, and what happened. It is written into RAM before the guest starts and read after it ends.
 *
 *     0x40100000  u64 count     entries that follow
 *     0x40100008  u64 done      entries tried so far, written after each one
 *     0x40100010  two words unused
 *     0x40100020  entries, 32 bytes each:
 *                 u64 address   a physical address (IPA)
 *                 u64 kind      below
 *                 u64 esr       ESR_EL1 of the exception it raised, 0 when it raised none
 *                 u64 detail    FAR_EL1 when esr is not 0, else what the access gave
 *
 * kind                what is tried                                            detail when nothing was raised
 * 0 read              LDR (32 bits) of the address, MMU off                    the word read
 * 1 write             STR (32 bits) of 0x5a5a5a5a, MMU off                     0
 * 2 fetch             branch to the address, MMU off; a RET there comes back   0
 * 3 walk              the address as the level-2 descriptor of a translation   the word read through it
 *                     that a load needs, MMU on
 * 4 address translate the same, by AT S1E1R instead of a load                  PAR_EL1
 */
#pragma once

#include "arch.h"

#define MAILBOX 0x40100000ul
#define MAILBOX_SIZE 0x100000ul

enum kind { KIND_READ, KIND_WRITE, KIND_FETCH, KIND_WALK, KIND_TRANSLATE, KINDS };

struct entry {
    u64 address, kind, esr, detail;
};

struct mailbox {
    u64 count, done, unused[2];
    struct entry entries[];
};

struct outcome {
    u64 esr, detail;
};

/* access.S */
struct outcome probe_read(u64 address);
struct outcome probe_write(u64 address);
struct outcome probe_fetch(u64 address);
struct outcome probe_translate(u64 address);

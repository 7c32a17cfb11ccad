/* What the files of smp share: where the CPUs meet, and what one of them can do to another. */
#pragma once

#include "arch.h"

#define MAXIMUM_CPUS 8

/* A word that several CPUs change. */
static inline u32 load(const u32 *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void store(u32 *word, u32 value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }
static inline u32 add(u32 *word, u32 value) { return __atomic_add_fetch(word, value, __ATOMIC_ACQ_REL); }

static inline void sev(void) { __asm__ volatile("dsb ishst\n\tsev" ::: "memory"); }
static inline void wfe(void) { __asm__ volatile("wfe" ::: "memory"); }

static inline void wait_until(const u32 *word, u32 value)
{
    while (load(word) != value)
        wfe();
}

static inline void announce(u32 *word, u32 value)
{
    store(word, value);
    sev();
}

/* gic.c */
void gic_enable(u32 cpu);
u32 gic_cpus(void);
void sgi_to(u32 targets, u32 intid);
void sgi_to_others(u32 intid);
u32 sgi_received(u32 cpu, u32 intid, u32 sender); /* how many times so far */
u32 sgi_received_from_all(u32 cpu, u32 intid);
u32 sgi_of(u32 cpu, u32 intid); /* with which this CPU sends `intid`, where the receiver must tell senders apart */
void sgi_wait(u32 cpu, u32 intid, u32 sender, u32 times);

/* exclusive.S */
void lock(u32 *word);
void unlock(u32 *word);
u32 load_exclusive(u32 *word);
u32 store_exclusive(u32 *word, u32 value); /* 0 when it stored */

/* secondary.S */
extern char secondary_entry[], vectors[];

/* smp.c */
void secondary(u32 cpu);
void on_irq(void);
void unexpected(u64 vector);

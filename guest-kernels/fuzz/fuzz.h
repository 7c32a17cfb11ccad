/*
 * The mailbox: a program for the interpreter, and how far it came. It is written into RAM before the guest starts and read
 * after it ends.
 *
 *     0x40100000  u64 count       operations that follow
 *     0x40100008  u64 done        operations begun so far
 *     0x40100010  u64 flags       bit 0: run with the MMU on
 *     0x40100018  u64 skipped     instructions that raised an exception and were skipped
 *     0x40100020  u64 executed    words passed, skipped ones too, in code that was left where it lies; and edits
 *     0x40100028  u64 start       where the code of the operation begun last starts
 *     0x40100030  operations, 32 bytes each: u64 kind, u64 a, u64 b, u64 c
 *     0x40140000  register files, 256 bytes each: X0 to X30, then SP_EL0
 *     0x40180000  code, ended wherever the word is 0 (UDF #0)
 *     0x401ff000  the scratch page
 *     0x40300000  stage-1 tables, 4 KiB each:  0 root (level 1)   1 level 2 of the devices   2 level 2 of RAM
 *                 3 level 3 of the first 2 MiB of RAM   4 level 2 and 5 level 3 of the playground at 0x80000000
 *                 6 level 3 of the image
 *
 * kind          what is done
 * 0 run         ERET with SPSR_EL1 = c to the code at byte offset a, with register file b
 * 1 execute     write the instruction word a to the scratch page, make it visible, ERET to it as above
 * 2 edit        write the descriptor b to byte offset a of the tables; c chooses the TLBI after it
 *
 * Code that is run may change any register. X29 and X30 do not survive an exception, which is skipped.
 */
#pragma once

#include "arch.h"

#define MAILBOX 0x40100000ul
#define FILES 0x40140000ul
#define CODE 0x40180000ul
#define SCRATCH 0x401ff000ul
#define TABLES 0x40300000ul
#define PLAYGROUND 0x80000000ul

#define MAX_OPERATIONS 4096ul
#define FILE_COUNT 1024ul
#define CODE_SIZE (SCRATCH - CODE)
#define LONGEST 24ul /* words in one run */
#define TABLE_COUNT 7ul

enum kind { KIND_RUN, KIND_EXECUTE, KIND_EDIT };

struct operation {
    u64 kind, a, b, c;
};

struct mailbox {
    u64 count, done, flags, skipped, executed, start;
    struct operation operations[];
};

/* enter.S: leave by ERET; whatever happens then, the vectors come back to next_operation, on a fresh stack. */
__attribute__((noreturn)) void enter(u64 code, u64 file, u64 spsr);
__attribute__((noreturn)) void next_operation(void);

/*
 * The four functions a C compiler may call without being asked (GCC and Clang say so of freestanding code). Bytes and
 * words, no vectors: they also run before the MMU is on, when all memory is Device memory and an unaligned access faults
 * (DDI 0487, B2.7.2 "Device memory"), and before FP is allowed. Built with -fno-builtin, or each loop would call itself.
 */

#include "arch.h"

void *memset(void *target, int value, u64 length)
{
    u8 *to = target;
    u64 word = (u8)value * 0x0101010101010101ul;
    for (; length && ((u64)to & 7); length--)
        *to++ = (u8)value;
    for (; length >= 8; length -= 8, to += 8)
        *(u64 *)to = word;
    for (; length; length--)
        *to++ = (u8)value;
    return target;
}

void *memcpy(void *target, const void *source, u64 length)
{
    u8 *to = target;
    const u8 *from = source;
    if ((((u64)to | (u64)from) & 7) == 0)
        for (; length >= 8; length -= 8, to += 8, from += 8)
            *(u64 *)to = *(const u64 *)from;
    for (; length; length--)
        *to++ = *from++;
    return target;
}

void *memmove(void *target, const void *source, u64 length)
{
    u8 *to = target;
    const u8 *from = source;
    if (to <= from || to >= from + length)
        return memcpy(target, source, length);
    while (length--)
        to[length] = from[length];
    return target;
}

int memcmp(const void *left, const void *right, u64 length)
{
    const u8 *a = left, *b = right;
    for (; length; length--, a++, b++)
        if (*a != *b)
            return *a - *b;
    return 0;
}

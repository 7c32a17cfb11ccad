/* Numbers are written into a small buffer from its end backwards, which gives the digits in the right order. */

#include "print.h"

#include "pl011.h"

void print_bytes(const char *text, u64 length)
{
    for (u64 i = 0; i < length; i++) {
        if (text[i] == '\n')
            pl011_put('\r');
        pl011_put((u8)text[i]);
    }
}

void print(const char *text)
{
    u64 length = 0;
    while (text[length])
        length++;
    print_bytes(text, length);
}

static void print_number(u64 value, u64 base)
{
    char digits[20];
    u64 at = sizeof(digits);
    do {
        u64 digit = value % base;
        digits[--at] = (char)(digit < 10 ? '0' + digit : 'a' + digit - 10);
        value /= base;
    } while (value);
    print_bytes(digits + at, sizeof(digits) - at);
}

void print_decimal(u64 value)
{
    print_number(value, 10);
}

void print_hex(u64 value)
{
    print("0x");
    print_number(value, 16);
}

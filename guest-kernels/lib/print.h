/* Text on the console. There is no format language: a line is a few calls, and each says what it prints. */
#pragma once

#include "arch.h"

void print(const char *text);
void print_bytes(const char *text, u64 length);
void print_decimal(u64 value);
void print_hex(u64 value); /* 0x and as many digits as are needed */

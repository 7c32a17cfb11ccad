/*
 * Mixed C, as programs are made of: sorting, sieving, matrices of integers and of doubles, text and hashing, lists, calls
 * through pointers. Portable and self-contained, no device and no system register, so that the same object code runs in
 * a guest with its MMU on, on a bare emulator with its MMU off, and its twin on the host checks the sum.
 *
 * Every part folds what it computed into the checksum; none can be optimised away, and a machine that computes anything
 * wrong says so. Doubles are folded bit by bit; -ffp-contract=off makes their bits the same everywhere.
 */

#include "bench.h"

typedef unsigned int u32;
typedef unsigned long long u64;

#define SORTED 16384
#define SIEVED 262144
#define ORDER 48
#define NODES 8192
#define TEXT 16384

static u32 numbers[SORTED];
static unsigned char composite[SIEVED];
static u32 integers[3][ORDER][ORDER];
static double reals[3][ORDER][ORDER];
static struct node {
    struct node *next;
    u64 value;
} nodes[NODES];
static char text[TEXT];
static u32 buckets[1024];

static u32 random_state;

static u32 random_next(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

static u64 fold(u64 sum, u64 value)
{
    return (sum << 5 | sum >> 59) ^ value;
}

static void sift_down(u32 *heap, u32 root, u32 count)
{
    for (u32 child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && heap[child + 1] > heap[child])
            child++;
        if (heap[root] >= heap[child])
            return;
        u32 swap = heap[root];
        heap[root] = heap[child];
        heap[child] = swap;
    }
}

static u64 heap_sort(void)
{
    for (u32 i = 0; i < SORTED; i++)
        numbers[i] = random_next();
    for (u32 i = SORTED / 2; i-- > 0;)
        sift_down(numbers, i, SORTED);
    for (u32 i = SORTED; i-- > 1;) {
        u32 largest = numbers[0];
        numbers[0] = numbers[i];
        numbers[i] = largest;
        sift_down(numbers, 0, i);
    }
    u64 sum = 0;
    for (u32 i = 0; i < SORTED; i++)
        sum = fold(sum, numbers[i]);
    return sum;
}

static u64 sieve(void)
{
    for (u32 i = 0; i < SIEVED; i++)
        composite[i] = i < 2;
    for (u32 i = 2; i * i < SIEVED; i++)
        if (!composite[i])
            for (u32 j = i * i; j < SIEVED; j += i)
                composite[j] = 1;
    u64 primes = 0;
    for (u32 i = 0; i < SIEVED; i++)
        primes += !composite[i];
    return primes;
}

static u64 multiply_integers(void)
{
    u64 sum = 0;
    for (u32 i = 0; i < ORDER * ORDER; i++) {
        integers[0][i / ORDER][i % ORDER] = random_next();
        integers[1][i / ORDER][i % ORDER] = random_next();
    }
    for (u32 i = 0; i < ORDER; i++)
        for (u32 j = 0; j < ORDER; j++) {
            u32 dot = 0;
            for (u32 k = 0; k < ORDER; k++)
                dot += integers[0][i][k] * integers[1][k][j];
            integers[2][i][j] = dot;
            sum = fold(sum, dot);
        }
    return sum;
}

static u64 bits_of(double value)
{
    union {
        double value;
        u64 bits;
    } both = {value};
    return both.bits;
}

static u64 multiply_doubles(void)
{
    u64 sum = 0;
    for (u32 i = 0; i < ORDER * ORDER; i++) {
        reals[0][i / ORDER][i % ORDER] = random_next() / 65536.0;
        reals[1][i / ORDER][i % ORDER] = random_next() / 65537.0;
    }
    for (u32 i = 0; i < ORDER; i++)
        for (u32 j = 0; j < ORDER; j++) {
            double dot = 0;
            for (u32 k = 0; k < ORDER; k++)
                dot += reals[0][i][k] * reals[1][k][j];
            reals[2][i][j] = dot;
            sum = fold(sum, bits_of(dot));
        }
    return sum;
}

/* Words of lower-case letters; each is hashed (FNV-1a) and counted in its bucket. */
static u64 count_words(void)
{
    for (u32 i = 0; i < TEXT; i++) {
        u32 letter = random_next() % 32;
        text[i] = (char)(letter < 26 ? 'a' + letter : ' ');
    }
    for (u32 i = 0; i < 1024; i++)
        buckets[i] = 0;
    u32 hash = 2166136261u;
    for (u32 i = 0; i < TEXT; i++) {
        if (text[i] != ' ') {
            hash = (hash ^ (unsigned char)text[i]) * 16777619u;
            continue;
        }
        buckets[hash % 1024]++;
        hash = 2166136261u;
    }
    u64 sum = 0;
    for (u32 i = 0; i < 1024; i++)
        sum = fold(sum, buckets[i]);
    return sum;
}

/* A list through all nodes in random order (Sattolo's shuffle makes one cycle), followed four times round. */
static u64 chase_pointers(void)
{
    for (u32 i = 0; i < NODES; i++)
        nodes[i] = (struct node){&nodes[i], i};
    for (u32 i = NODES - 1; i > 0; i--) {
        struct node *other = &nodes[random_next() % i], *swap = nodes[i].next;
        nodes[i].next = other->next;
        other->next = swap;
    }
    u64 sum = 0;
    struct node *at = nodes;
    for (u32 i = 0; i < 4 * NODES; i++, at = at->next)
        sum = fold(sum, at->value += i);
    return sum;
}

static u64 op_add(u64 a, u64 b) { return a + b; }
static u64 op_subtract(u64 a, u64 b) { return a - b; }
static u64 op_multiply(u64 a, u64 b) { return a * (b | 1); }
static u64 op_xor(u64 a, u64 b) { return a ^ b; }
static u64 op_shift(u64 a, u64 b) { return a >> (b & 7) | a << (63 - (b & 7)); }
static u64 op_divide(u64 a, u64 b) { return a / ((b & 0xff) + 1); }
static u64 (*volatile const operations[])(u64, u64) = {op_add,  op_subtract, op_multiply, op_xor,
                                                       op_shift, op_multiply, op_divide,   op_add};

/* The heart of an interpreter: an operation chosen by data, called through a table. */
static u64 interpret(void)
{
    u64 accumulator = 0x123456789abcdefull;
    for (u32 i = 0; i < 65536; i++) {
        u32 word = random_next();
        accumulator = operations[word & 7](accumulator, word >> 3);
    }
    return accumulator;
}

unsigned long mixed(unsigned long rounds)
{
    u64 sum = 0;
    random_state = 2010;
    for (unsigned long round = 0; round < rounds; round++) {
        sum = fold(sum, heap_sort());
        sum = fold(sum, sieve());
        for (u32 i = 0; i < 8; i++) {
            sum = fold(sum, multiply_integers());
            sum = fold(sum, multiply_doubles());
            sum = fold(sum, count_words());
            sum = fold(sum, chase_pointers());
        }
        sum = fold(sum, interpret());
    }
    return (unsigned long)sum;
}

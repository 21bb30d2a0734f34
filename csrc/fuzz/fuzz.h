/* What the fuzzers share: numbers from the fuzzer's bytes, memory of exactly the size asked for, and
 * the comparison of every ISA with the scalar kernels. */
#ifndef PQC_FUZZ_H
#define PQC_FUZZ_H

#include "dispatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const uint8_t *at;
    size_t left;
} input;

/* The next `bytes` bytes; zeros where the input has ended. */
static inline void take(input *in, void *to, size_t bytes)
{
    size_t has = bytes < in->left ? bytes : in->left;
    memset(to, 0, bytes);
    memcpy(to, in->at, has);
    in->at += has;
    in->left -= has;
}

/* A number from low to high. */
static inline int pick(input *in, int low, int high)
{
    uint8_t byte;
    take(in, &byte, 1);
    return low + byte % (high - low + 1);
}

static inline float take_float(input *in)
{
    float x;
    take(in, &x, sizeof x);
    return x;
}

/* Memory of its own, so that AddressSanitizer sees a step beyond it; filled from the input, again
 * and again where it is longer. */
static inline void *block(input *in, size_t bytes)
{
    unsigned char *memory = malloc(bytes ? bytes : 1);
    size_t has = in && in->left < bytes ? in->left : bytes;
    if (!memory)
        abort();
    memset(memory, 0xa5, bytes);
    if (in && has > 0) {
        memcpy(memory, in->at, has);
        for (size_t i = has; i < bytes; i++)
            memory[i] = memory[i - has];
    }
    return memory;
}

/* Ends the program unless the bits are equal; NaN equals NaN. */
static inline void expect_floats(const float *got, const float *want, ptrdiff_t n, const char *what)
{
    for (ptrdiff_t i = 0; i < n; i++)
        if (memcmp(&got[i], &want[i], sizeof *got) != 0 &&
            (got[i] == got[i] || want[i] == want[i])) {
            fprintf(stderr, "%s: element %td of %td is %a, not %a (ISAs %x)\n", what, i, n,
                    (double)got[i], (double)want[i], pqc_selected());
            abort();
        }
}

static inline void expect_bytes(const void *got, const void *want, size_t bytes, const char *what)
{
    if (memcmp(got, want, bytes) != 0) {
        fprintf(stderr, "%s: other bytes (ISAs %x)\n", what, pqc_selected());
        abort();
    }
}

/* The next ISA of this machine after `isa`, selected; false if there is none. */
static inline bool next_isa(int *isa)
{
    while (++*isa < PQC_ISAS)
        if (pqc_detect() & PQC_BIT(*isa)) {
            pqc_select(PQC_BIT(*isa));
            return true;
        }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif

/* A fingerprint of some bytes, at memory speed: tells whether an array has changed.
 *
 * 64 lanes of 32 bits each take one word in turn by a step that is a bijection of the word, so a
 * change of any one word changes the fingerprint; several changes escape with a chance of about
 * 2^-32 if all of them are in words of one lane (64 words apart), of about 2^-64 else.  It is no
 * defence against deliberate collisions.
 *
 *   x     n bytes, any alignment, n may be 0
 *   mark  the result: two numbers
 *
 * Same marks from every ISA. */
#ifndef PQC_FINGERPRINT_H
#define PQC_FINGERPRINT_H

#include "pqc.h"

enum { PQC_MARK_LANES = 64 };

typedef struct {
    uint64_t word[2];
} pqc_mark;

/* Mixes `blocks` blocks of 256 bytes into the lanes. */
typedef void pqc_fingerprint_fn(const uint8_t *x, ptrdiff_t blocks, uint32_t *lanes);

pqc_fingerprint_fn pqc_fingerprint_scalar, pqc_fingerprint_avx2, pqc_fingerprint_avx512;

#endif

/* Fingerprint of n bytes: lanes of 32 bits over whole blocks (pqc.fingerprint), then mixed to 128 bits. */
#include "fingerprint.h"

#include "dispatch.h"

#include <string.h>

enum { BLOCK = 4 * PQC_MARK_LANES };

static uint64_t mixed(uint64_t h, uint64_t word, uint64_t odd)
{
    h = (h ^ word) * odd;
    return h ^ h >> 29;
}

pqc_mark pqc_fingerprint_of(const void *x, ptrdiff_t n)
{
    uint32_t lanes[PQC_MARK_LANES];
    uint8_t rest[BLOCK] = {0};
    for (uint32_t i = 0; i < PQC_MARK_LANES; i++)
        lanes[i] = i * 0x9E3779B9u + 1;
    const uint8_t *bytes = x;
    ptrdiff_t blocks = n / BLOCK;
    pqc.fingerprint(bytes, blocks, lanes);
    if (n > blocks * BLOCK)
        memcpy(rest, bytes + blocks * BLOCK, (size_t)(n - blocks * BLOCK));
    pqc.fingerprint(rest, 1, lanes);
    pqc_mark mark = {{(uint64_t)n, ~(uint64_t)n}};
    for (int i = 0; i < PQC_MARK_LANES; i++) {
        mark.word[0] = mixed(mark.word[0], lanes[i], 0x9FB21C651E98DF25u);
        mark.word[1] = mixed(mark.word[1], lanes[PQC_MARK_LANES - 1 - i], 0xD6E8FEB86659FD93u);
    }
    return mark;
}

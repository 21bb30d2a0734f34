/* Fingerprint of bytes in 64 lanes of 32 bits, in plain C; see fingerprint.h. */
#include "fingerprint.h"

#include <string.h>

void pqc_fingerprint_scalar(const uint8_t *x, ptrdiff_t blocks, uint32_t *lanes)
{
    for (ptrdiff_t b = 0; b < blocks; b++)
        for (int i = 0; i < PQC_MARK_LANES; i++) {
            uint32_t word;
            memcpy(&word, x + 4 * (b * PQC_MARK_LANES + i), sizeof word);
            uint32_t h = lanes[i] ^ word;
            lanes[i] = (h << 15 | h >> 17) * 0x85EBCA6Bu;
        }
}

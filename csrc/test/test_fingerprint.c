#include "fingerprint.h"
#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <string.h>

void test_fingerprint(void)
{
    enum { MAX_BLOCKS = 5, BLOCK = 4 * PQC_MARK_LANES };
    buffer in;
    buffer_open(&in);
    for (ptrdiff_t blocks = 0; blocks <= MAX_BLOCKS; blocks++) {
        uint32_t lanes[PQC_MARK_LANES], wanted[PQC_MARK_LANES];
        uint8_t *x = buffer_place(&in, (size_t)(blocks * BLOCK), (size_t)blocks);
        for (ptrdiff_t i = 0; i < blocks * BLOCK; i++)
            x[i] = (uint8_t)random_bits();
        for (int i = 0; i < PQC_MARK_LANES; i++)
            wanted[i] = lanes[i] = random_bits();
        for (ptrdiff_t i = 0; i < blocks * PQC_MARK_LANES; i++) {
            uint32_t *lane = &wanted[i % PQC_MARK_LANES];
            uint32_t word = x[4 * i] | (uint32_t)x[4 * i + 1] << 8 | (uint32_t)x[4 * i + 2] << 16 |
                            (uint32_t)x[4 * i + 3] << 24;
            uint64_t twice = (uint64_t)(*lane ^ word) * 0x100000001u; /* a rotation is a shift */
            *lane = (uint32_t)((uint64_t)(uint32_t)(twice >> 17) * 0x85EBCA6Bu);
        }
        pqc.fingerprint(x, blocks, lanes);
        CHECK(memcmp(lanes, wanted, sizeof lanes) == 0, "%td blocks", blocks);
    }
    for (ptrdiff_t n = 1; n < 3 * BLOCK; n += 37) { /* any changed bit, any other length */
        uint8_t *x = buffer_place(&in, (size_t)n, 3);
        pqc_mark before = pqc_fingerprint_of(x, n), shorter = pqc_fingerprint_of(x, n - 1);
        CHECK(memcmp(&before, &shorter, sizeof before) != 0, "length %td", n);
        for (ptrdiff_t i = 0; i < n; i++) {
            x[i] ^= (uint8_t)(1 << i % 8);
            pqc_mark after = pqc_fingerprint_of(x, n);
            CHECK(memcmp(&before, &after, sizeof before) != 0, "byte %td of %td", i, n);
            x[i] ^= (uint8_t)(1 << i % 8);
        }
    }
    buffer_close(&in);
}

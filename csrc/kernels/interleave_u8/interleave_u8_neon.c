/* Planes of bytes to pixels, channels last, with NEON; see interleave_u8.h. */
#include "interleave_u8.h"

#if PQC_ARM
#include <arm_neon.h>

void pqc_interleave_u8_neon(const uint8_t *const *plane, int channels, ptrdiff_t n,
                            uint8_t *restrict y)
{
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16, y += 16 * channels) {
        uint8x16x4_t x;
        for (int c = 0; c < PQC_MAX_INTERLEAVED; c++)
            x.val[c] = vld1q_u8(plane[c < channels ? c : 0] + i);
        if (channels == 4)
            vst4q_u8(y, x);
        else if (channels == 3) {
            uint8x16x3_t three = {
                {x.val[0], x.val[1], x.val[2]}}; /* vst3q_u8 is a macro in clang */
            vst3q_u8(y, three);
        } else if (channels == 2) {
            uint8x16x2_t two = {{x.val[0], x.val[1]}};
            vst2q_u8(y, two);
        } else
            vst1q_u8(y, x.val[0]);
    }
    pqc_interleave_u8_rest(plane, channels, i, n, y - i * channels);
}

#endif

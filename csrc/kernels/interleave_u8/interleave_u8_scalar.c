/* Planes of bytes to pixels, channels last, in plain C; see interleave_u8.h. */
#include "interleave_u8.h"

void pqc_interleave_u8_scalar(const uint8_t *const *plane, int channels, ptrdiff_t n,
                              uint8_t *restrict y)
{
    pqc_interleave_u8_rest(plane, channels, 0, n, y);
}

#include "finish_nhwc.h"

#if PQC_X86
#include "finish_nhwc_avx512.h"

/* All pixels of V vectors of channels, P pixels at a time. */
FINISH_INLINE void finish_all(const int32_t *acc, ptrdiff_t ld, int pixels, int channels,
                              const int P, const int V, const pqc_finish_params *f,
                              finish_refused *r)
{
    finish_channels c = finish_channels_of(f, V, channels);
    int p = 0;
    const int32_t *at[4] = {acc, acc + ld, acc + 2 * ld, acc + 3 * ld};
    for (; p + P <= pixels; p += P) {
        finish_pixels(at, P, V, &c, f, NULL, p, r);
        PQC_UNROLL(4)
        for (int i = 0; i < P; i++)
            at[i] += P * ld;
    }
    for (; p < pixels; p++, at[0] += ld)
        finish_pixels(at, 1, V, &c, f, NULL, p, r);
}

AVX512 unsigned pqc_finish_nhwc_avx512(const int32_t *acc, ptrdiff_t ld, int pixels, int channels,
                                       const pqc_finish_params *f)
{
    finish_refused r = {0, 0};
    for (int c = 0; c < channels; c += 64) {
        pqc_finish_params part = pqc_finish_from(f, c);
        int left = (int)pqc_min(channels - c, 64);
        if (left > 48)
            finish_all(acc + c, ld, pixels, left, 1, 4, &part, &r);
        else if (left > 32)
            finish_all(acc + c, ld, pixels, left, 1, 3, &part, &r);
        else if (left == 32)
            finish_all(acc + c, ld, pixels, left, 2, 2, &part, &r);
        else if (left > 16)
            finish_all(acc + c, ld, pixels, left, 1, 2, &part, &r);
        else if (left == 16)
            finish_all(acc + c, ld, pixels, left, 4, 1, &part, &r);
        else
            finish_all(acc + c, ld, pixels, left, 1, 1, &part, &r);
    }
    return finish_flags(&r);
}

#endif

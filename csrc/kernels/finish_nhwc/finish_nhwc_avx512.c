#include "finish_nhwc.h"

#if PQC_X86
#include "finish_nhwc_avx512.h"

AVX512 unsigned pqc_finish_nhwc_avx512(const int32_t *acc, ptrdiff_t ld, int pixels, int channels,
                                       const pqc_output *f)
{
    finish_refused r = {0, 0};
    for (int c = 0; c < channels; c += 64) {
        finish_pixels from = {.acc = acc + c, .ld = ld, .channel = c};
        int left = (int)pqc_min(channels - c, 64);
        if (left == 64)
            finish_run(&from, 0, pixels, 1, 4, f, &r);
        else if (left > 48)
            finish_some_way(&from, 0, pixels, 1, 4, left, f, &r);
        else if (left > 32)
            finish_some_way(&from, 0, pixels, 1, 3, left, f, &r);
        else if (left == 32)
            finish_some_way(&from, 0, pixels, 2, 2, left, f, &r);
        else if (left > 16)
            finish_some_way(&from, 0, pixels, 1, 2, left, f, &r);
        else if (left == 16)
            finish_some_way(&from, 0, pixels, 4, 1, left, f, &r);
        else
            finish_some_way(&from, 0, pixels, 1, 1, left, f, &r);
    }
    return finish_flags(&r);
}

#endif

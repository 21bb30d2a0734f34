/* The whole output stage on int32 sums, channels last, with AVX-512; see finish_nhwc.h. */
#include "finish_nhwc.h"

#if PQC_X86
#include "finish_nhwc_run_avx512.h"

AVX512 unsigned pqc_finish_nhwc_avx512(const int32_t *acc, ptrdiff_t ld, int pixels, int channels,
                                       const pqc_output *f)
{
    finish_refused r = {0, 0};
    for (int c = 0; c < channels; c += 64) {
        finish_pixels from = {.acc = acc + c, .ld = ld, .channel = c};
        finish_run(&from, 0, pixels, false, (int)pqc_min(channels - c, 64), f, &r);
    }
    return finish_flags(&r);
}

#endif

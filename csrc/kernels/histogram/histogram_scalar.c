/* Bin numbers of float32 magnitudes, and their range, in plain C; see histogram.h. */
#include "bits.h"
#include "histogram.h"

#include <math.h>

enum { INFINITY_BITS = 0x7f800000 };

ptrdiff_t pqc_bin_f32_scalar(const float *x, ptrdiff_t n, const pqc_binning *b, uint32_t *bin,
                             pqc_binned *seen)
{
    ptrdiff_t written = 0;
    uint32_t largest = seen->largest;
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t bits = pqc_bits_of(x[i]) & INT32_MAX;
        largest = bits > largest ? bits : largest;
        bin[written] = pqc_bin_of(pqc_float_of(bits), b);
        written += bits != 0;
    }
    seen->largest = largest;
    seen->zeros += (uint64_t)(n - written);
    return written;
}

/* Simple enough for the compiler to vectorise; counters of a block fit into 32 bits. */
PQC_INLINE void magnitudes(const float *x, ptrdiff_t n, pqc_magnitudes *m)
{
    int32_t smallest = (int32_t)pqc_bits_of(m->smallest),
            largest = (int32_t)pqc_bits_of(m->largest);
    for (ptrdiff_t begin = 0; begin < n; begin += 1 << 20) {
        ptrdiff_t end = begin + (1 << 20) < n ? begin + (1 << 20) : n;
        int32_t zeros = 0, nans = 0, infs = 0;
        for (ptrdiff_t i = begin; i < end; i++) {
            int32_t bits = (int32_t)(pqc_bits_of(x[i]) & INT32_MAX);
            int32_t above = bits == 0 ? INFINITY_BITS : bits;
            int32_t finite = bits < INFINITY_BITS ? bits : 0;
            zeros += bits == 0;
            nans += bits > INFINITY_BITS;
            infs += bits == INFINITY_BITS;
            smallest = above < smallest ? above : smallest;
            largest = finite > largest ? finite : largest;
        }
        m->zeros += zeros;
        m->nans += nans;
        m->infs += infs;
    }
    m->smallest = pqc_float_of((uint32_t)smallest);
    m->largest = pqc_float_of((uint32_t)largest);
}

void pqc_magnitudes_f32_scalar(const float *x, ptrdiff_t n, pqc_magnitudes *m)
{
    magnitudes(x, n, m);
}

#if PQC_X86
PQC_TARGET_AVX2 void pqc_magnitudes_f32_avx2(const float *x, ptrdiff_t n, pqc_magnitudes *m)
{
    magnitudes(x, n, m);
}
#endif

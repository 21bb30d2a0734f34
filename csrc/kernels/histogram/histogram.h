/* Histograms of magnitudes.
 *
 *   edges  bins + 1 floats, rising.  Bin i holds edges[i] <= |x| < edges[i + 1], the last one also
 *          |x| = edges[bins].  What lies outside, NaN and infinities get no bin.
 * Every rule of the field is such a row of edges: pqc_histc_edges makes the one torch.histc means.
 * The counts are the same from every ISA and every number of threads. */
#ifndef PQC_HISTOGRAM_H
#define PQC_HISTOGRAM_H

#include "pqc.h"

/* t = (|x| - lo) * inv is a magnitude measured in bins; the edges lie within `margin` of whole t,
 * roundings of t included.  So a t farther than that from a whole number decides; another one is
 * compared with the edge beside it.  PQC_BIN_EXACT: t is exact, every one decides, also t >= bins:
 * no bin. */
typedef struct {
    const float *edges;
    ptrdiff_t bins;
    float lo, inv, margin;
} pqc_binning;

/* With a margin below this the kernels below may be used: the edge beside t is the only candidate.
 */
#define PQC_BIN_MARGIN 0.45f
#define PQC_BIN_EXACT (-1.0f)

typedef struct {
    uint32_t largest; /* bits of the largest |x|: above infinity is NaN */
    uint64_t zeros;   /* how many x are 0; they get no bin here */
} pqc_binned;

/* Writes the bins of x[0 .. n) to `bin`, which has room for n + 16, and returns how many it wrote;
 * numbers from `bins` to bins + 15 stand for no bin.  Updates `seen`. */
typedef ptrdiff_t pqc_bin_f32_fn(const float *x, ptrdiff_t n, const pqc_binning *b, uint32_t *bin,
                                 pqc_binned *seen);

pqc_bin_f32_fn pqc_bin_f32_scalar, pqc_bin_f32_avx2, pqc_bin_f32_avx512, pqc_bin_f32_neon;

/* What a first look at |x| says. */
typedef struct {
    float smallest; /* of those above 0; +inf if there is none */
    float largest;  /* of the finite ones; 0 if there is none */
    int64_t zeros, nans, infs;
} pqc_magnitudes;

typedef void pqc_magnitudes_f32_fn(const float *x, ptrdiff_t n, pqc_magnitudes *m);
pqc_magnitudes_f32_fn pqc_magnitudes_f32_scalar, pqc_magnitudes_f32_avx2;

/* The bin of one v >= 0, or bins: for a margin below PQC_BIN_MARGIN. */
static inline uint32_t pqc_bin_of(float v, const pqc_binning *b)
{
    if (!(v >= b->lo && v <= b->edges[b->bins]))
        return (uint32_t)b->bins;
    uint32_t last = (uint32_t)b->bins - 1, edge = (uint32_t)((v - b->lo) * b->inv + 0.5f);
    edge = edge <= last ? edge - (v < b->edges[edge]) : last;
    return edge;
}

#endif

/* Histograms of magnitudes.
 *
 *   edges  bins + 1 floats, rising.  Bin i holds edges[i] <= |x| < edges[i + 1], the last one also
 *          |x| = edges[bins].  What lies outside, NaN and infinities get no bin.
 * Every rule of the field is such a row of edges: pqc_histc_edges makes the one torch.histc means.
 * The counts are the same from every ISA and every number of threads. */
#ifndef PQC_HISTOGRAM_H
#define PQC_HISTOGRAM_H

#include "pqc.h"

/* t = (|x| - lo) * inv is the magnitude in units of bins; every edge lies within `margin` of an integer t, rounding
 * errors of t included.  So if t is further than that from an integer it decides; otherwise |x| is compared with the
 * nearest edge.  PQC_BIN_EXACT: t is exact and always decides; t >= bins means no bin. */
typedef struct {
    const float *edges;
    ptrdiff_t bins;
    float lo, inv, margin;
} pqc_binning;

/* The kernels below require a smaller margin: the nearest edge is then the only candidate. */
#define PQC_BIN_MARGIN 0.45f
#define PQC_BIN_EXACT (-1.0f)

typedef struct {
    uint32_t largest; /* bits of the largest |x|; NaN exceeds infinity */
    uint64_t zeros;   /* zeros, which get no bin here */
} pqc_binned;

/* Writes the bins of x[0 ..  n) to `bin`, which has room for n + 16, and returns how many it wrote; numbers from
 * `bins` to bins + 15 mean no bin.  Updates `seen`. */
typedef ptrdiff_t pqc_bin_f32_fn(const float *x, ptrdiff_t n, const pqc_binning *b, uint32_t *bin,
                                 pqc_binned *seen);

pqc_bin_f32_fn pqc_bin_f32_scalar, pqc_bin_f32_avx2, pqc_bin_f32_avx512, pqc_bin_f32_neon;

/* A first pass over |x|. */
typedef struct {
    float smallest; /* smallest above 0; +inf if there is none */
    float largest;  /* largest finite one; 0 if there is none */
    int64_t zeros, nans, infs;
} pqc_magnitudes;

typedef void pqc_magnitudes_f32_fn(const float *x, ptrdiff_t n, pqc_magnitudes *m);
pqc_magnitudes_f32_fn pqc_magnitudes_f32_scalar, pqc_magnitudes_f32_avx2;

/* The bin of one v >= 0, or `bins`; requires a margin below PQC_BIN_MARGIN. */
static inline uint32_t pqc_bin_of(float v, const pqc_binning *b)
{
    if (!(v >= b->lo && v <= b->edges[b->bins]))
        return (uint32_t)b->bins;
    uint32_t last = (uint32_t)b->bins - 1, edge = (uint32_t)((v - b->lo) * b->inv + 0.5f);
    edge = edge <= last ? edge - (v < b->edges[edge]) : last;
    return edge;
}

#endif

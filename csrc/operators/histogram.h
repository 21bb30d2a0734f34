/* Histograms of whole arrays, on all threads (histogram/histogram.h has the rules). */
#ifndef PQC_OPERATORS_HISTOGRAM_H
#define PQC_OPERATORS_HISTOGRAM_H

#include "histogram/histogram.h"

/* Elements of any dtype, n = rows * inner: rows of `inner`, each `stride` elements after the one
 * before.  What does not fit into float32 counts as infinity.  `stop`, unless it is NULL, is called
 * every few dozen milliseconds, on the thread that called: if it returns true, the largest |x| is
 * PQC_COUNTING_STOPPED, and nothing was counted. */
#define PQC_COUNTING_STOPPED (-1.0f)
typedef struct {
    const void *data;
    ptrdiff_t n, inner, stride;
    pqc_dtype dtype;
    bool (*stop)(void *stop_context);
    void *stop_context;
} pqc_elements;

pqc_magnitudes pqc_magnitudes_of(pqc_elements x);

/* Counts x into `counts` (bins of them; they are added to), zeros too unless skip_zeros.  `scratch`
 * is pqc_histogram_scratch(bins, slots) bytes aligned for uint32_t, slots the most threads to use.
 * Returns the largest |x|, NaN if any is; if that is above edges[bins] and not `partial`, nothing
 * was counted. */
size_t pqc_histogram_scratch(ptrdiff_t bins, int slots);
float pqc_histogram(pqc_elements x, const float *edges, ptrdiff_t bins, bool skip_zeros,
                    bool partial, void *scratch, int slots, int64_t *counts);

/* The edges torch.histc(min=0, max=hi) means: the least x with float32 (x * bins) / hi >= i. */
void pqc_histc_edges(float hi, ptrdiff_t bins, float *edges);

#endif

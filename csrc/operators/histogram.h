/* Histograms of whole arrays, on all threads (histogram/histogram.h has the rules). */
#ifndef PQC_OPERATORS_HISTOGRAM_H
#define PQC_OPERATORS_HISTOGRAM_H

#include "histogram/histogram.h"

/* Elements of any dtype, n = rows * inner: rows of `inner` elements, `stride` elements apart.  What does not fit into
 * float32 counts as infinity.  `stop`, if not NULL, is called every few dozen milliseconds on the calling thread; if
 * it returns true, nothing is counted and the largest |x| is reported as PQC_COUNTING_STOPPED. */
#define PQC_COUNTING_STOPPED (-1.0f)
typedef struct {
    const void *data;
    ptrdiff_t n, inner, stride;
    pqc_dtype dtype;
    bool (*stop)(void *stop_context);
    void *stop_context;
} pqc_elements;

pqc_magnitudes pqc_magnitudes_of(pqc_elements x);

/* Adds the counts of x to `counts`, `bins` of them; zeros are counted unless skip_zeros.  `scratch` is
 * pqc_histogram_scratch(bins, slots) bytes aligned for uint32_t; `slots` is the largest number of threads to use.
 * Returns the largest |x|, or NaN if there is one.  If that is above edges[bins] and not `partial`, nothing is
 * counted. */
size_t pqc_histogram_scratch(ptrdiff_t bins, int slots);
float pqc_histogram(pqc_elements x, const float *edges, ptrdiff_t bins, bool skip_zeros,
                    bool partial, void *scratch, int slots, int64_t *counts);

/* The bin edges that torch.histc(min=0, max=hi) implies: the smallest x whose float32 (x * bins) / hi is >= i. */
void pqc_histc_edges(float hi, ptrdiff_t bins, float *edges);

#endif

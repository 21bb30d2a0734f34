/* For ISAs whose results are the sums themselves (dwconv_nhwc_rows.h), stored by their store_sums(&sums, at, v). */
#ifndef PQC_DWCONV_NHWC_SUMS_H
#define PQC_DWCONV_NHWC_SUMS_H

#include "dwconv_nhwc.h"

typedef struct {
    int32_t *at;
    ptrdiff_t row, ld;
} results;

INLINE void store_results(const sums *done, const int rows, results *to, const int v)
{
    PQC_UNROLL(2)
    for (int i = 0; i < rows; i++)
        store_sums(&done[i], to->at + i * to->row, v);
    to->at += to->ld;
}

INLINE results results_at(const pqc_dwconv_nhwc_params *g, int32_t *acc)
{
    return (results){acc, g->columns * g->ld, g->ld};
}

#endif

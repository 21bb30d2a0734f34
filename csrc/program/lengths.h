/* Sequences of several lengths in the order that recurrent.h wants: the longest first, and of each step only those that go on. */
#ifndef PQC_LENGTHS_H
#define PQC_LENGTHS_H

#include "recurrent.h"

/* The lengths of a batch; all of it lies in `room`.
 *
 *   length  of each sequence, as given
 *   place   of each sequence in that order
 *   sizes   of each step: sequences that go on
 *   first   of each step: the row that it begins with
 *   ahead, y, h, c   the rows, and the states (directions, places, hidden) */
typedef struct {
    int32_t *length;
    ptrdiff_t *place, *first;
    int64_t *sizes;
    float *ahead, *y, *h, *c;
} pqc_lengths;

/* Bytes of `room` for a layer with this many steps. */
ptrdiff_t pqc_lengths_bytes(const pqc_recurrent *r);

/* Reads batch int32; false if one is not from 0 to r->steps.  Sets steps, sizes and rows of `r`. */
bool pqc_lengths_begin(pqc_lengths *l, pqc_recurrent *r, const char *lengths, void *room);

/* Gives `r` rows and states in that order, in the place of (steps, batch, ...) and (directions, batch, hidden). */
void pqc_lengths_gather(pqc_lengths *l, pqc_recurrent *r);

/* Outputs (steps, directions, batch, hidden), zeros where a sequence has ended, and states in the batch's order: zeros of sequences
 * without a step.  `all`: the steps that there are. */
void pqc_lengths_scatter(const pqc_lengths *l, const pqc_recurrent *r, ptrdiff_t all, float *y,
                         float *h, float *c);

#endif

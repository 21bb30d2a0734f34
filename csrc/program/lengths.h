/* Sequences of different lengths in the order that recurrent.h needs: the longest first, and in each step only those
 * that have not ended. */
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

/* Bytes of `room` for a layer of this many steps. */
ptrdiff_t pqc_lengths_bytes(const pqc_recurrent *r);

/* Reads `batch` int32 lengths; false if one is outside [0, r->steps].  Sets steps, sizes and rows of `r`. */
bool pqc_lengths_begin(pqc_lengths *l, pqc_recurrent *r, const char *lengths, void *room);

/* Points `r` to rows and states in that order, instead of (steps, batch, ...) and (directions, batch, hidden). */
void pqc_lengths_gather(pqc_lengths *l, pqc_recurrent *r);

/* Scatters the outputs to (steps, directions, batch, hidden), with zeros where a sequence has ended, and the states
 * to the batch's order, with zeros for sequences without steps.  `all`: the total number of steps. */
void pqc_lengths_scatter(const pqc_lengths *l, const pqc_recurrent *r, ptrdiff_t all, float *y,
                         float *h, float *c);

#endif

/* The kinds of steps, and what is done with a step of any kind. */
#ifndef PQC_STEPS_H
#define PQC_STEPS_H

#include "step.h"

/* Offsets that a step needs. */
ptrdiff_t pqc_step_offsets(const pqc_step *step);

/* NULL if a step of images that are in order reads and writes nothing else; or what is wrong.  Of a convolution of integers
 * fills `offset`, `known` and `tiling`; a chain that the output stage can do becomes `affine`, `second_low` and `second_high`, with
 * `chain_length` 0; and clamps that come last go into the codes' bounds. */
const char *pqc_step_prepare(pqc_step *step);

/* Runs it, on all threads, and fills the outputs' borders; returns the flags of pack_u8.h, and PQC_STEP_BAD_INDEX. */
unsigned pqc_step_run(const pqc_step *step, char *const *buffers);

/* The same without the borders. */
unsigned pqc_step_run_bare(const pqc_step *step, char *const *buffers);

/* Tiles may read beyond an image, and cells need memory of their own.  The arena grows so far; another buffer's steps do
 * without tiles. */
void pqc_step_limit(pqc_step *step, ptrdiff_t buffer_bytes, ptrdiff_t *arena_bytes);

#endif

/* The kinds of steps, and what can be done with a step of any kind. */
#ifndef PQC_STEPS_H
#define PQC_STEPS_H

#include "step.h"

/* The number of offsets that a step needs. */
ptrdiff_t pqc_step_offsets(const pqc_step *step);

/* NULL if a step whose images are valid reads and writes nothing else; otherwise what is wrong.  For a convolution of
 * integers it fills `offset`, `known` and `tiling`; a chain that the output stage can compute becomes `affine`,
 * `second_low` and `second_high`, with `chain_length` 0; clamps that come last move into the codes' bounds. */
const char *pqc_step_prepare(pqc_step *step);

/* Runs a step on all threads and fills the borders of its outputs; returns the flags of pack_u8.h and
 * PQC_STEP_BAD_INDEX. */
unsigned pqc_step_run(const pqc_step *step, char *const *buffers);

/* The same, without filling borders. */
unsigned pqc_step_run_bare(const pqc_step *step, char *const *buffers);

/* Tiles may read beyond an image, and some steps need memory of their own while they run, behind the images: the arena
 * grows accordingly.  Steps that read another buffer use no tiles. */
void pqc_step_limit(pqc_step *step, const ptrdiff_t *buffer_bytes, ptrdiff_t *arena_bytes);

#endif

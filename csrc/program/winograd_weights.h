/* Weights of 3 x 3 convolutions, transformed for winograd_nhwc.h. */
#ifndef PQC_WINOGRAD_WEIGHTS_H
#define PQC_WINOGRAD_WEIGHTS_H

#include "program_weights.h"

/* Their bytes: eight times those of the packed weights. */
ptrdiff_t pqc_winograd_weights_bytes(const pqc_weights *weights);

/* Writes, for each panel of up to PQC_NR output channels, its transformed weights. */
void pqc_winograd_weights_pack(const pqc_weights *weights, int16_t *u);

/* Words of the panels before the one that begins at an output channel. */
ptrdiff_t pqc_winograd_weights_panel(const pqc_weights *weights, ptrdiff_t channel);

#endif

/* Blocks of an elementwise chain: loads operands into registers, and stores the last result to the outputs. */
#ifndef PQC_CHAIN_BLOCK_H
#define PQC_CHAIN_BLOCK_H

#include "chain.h"
#include "image.h"

/* An image as a chain sees it: n, y, x, c are the bytes between elements along each axis, 0 along axes that are
 * broadcast.  Each row is repeated `rows` times, each pixel `columns` times. */
typedef struct {
    pqc_pixels form;
    char *base;
    ptrdiff_t n, y, x, c, rows, columns;
} pqc_view;

/* Some channels of some pixels of one row; at most PQC_BLOCK elements. */
typedef struct {
    ptrdiff_t n, y, x, first, pixels, channels;
} pqc_chain_block;

/* A thread's state: where each register lies, and what broadcast operands are loaded for. */
typedef struct {
    float space[PQC_MAX_REGISTERS][PQC_BLOCK];
    float *values[PQC_MAX_REGISTERS];
    ptrdiff_t loaded[PQC_MAX_OPERANDS]; /* image and first channel that are loaded, or -1 */
    ptrdiff_t count[PQC_MAX_OPERANDS];
} pqc_registers;

/* An image as large as `of`, a fraction of it, or of one element, along each axis. */
pqc_view pqc_view_of(const pqc_image *image, const pqc_image *of, char *const *buffers);
void pqc_registers_begin(pqc_registers *r);

/* Loads operand `number`: in place if it consists of contiguous floats, else copied and decoded. */
void pqc_chain_load(const pqc_view *v, const pqc_chain_block *b, int number, pqc_registers *r);

/* Returns the flags of pack_u8.h. */
unsigned pqc_chain_store(const pqc_view *v, const pqc_chain_block *b, const float *x);

#endif

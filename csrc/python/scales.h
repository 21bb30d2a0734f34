/* The quantisation of an array, computed from the amax in pqc_operands. */
#ifndef PQC_SCALES_H
#define PQC_SCALES_H

#include "operands.h"
#include "quant_params/quant_params.h"

/* mul and div, one value per channel, of double if x is float64, else of float; a few fit without an allocation.  `q`
 * points into them, so it must not be used after pqc_scales_clear. */
typedef struct {
    pqc_quantization q;
    void *mul, *div;
    void *block;
    double few[2];
} pqc_scales;

/* Integer formats; the bounds depend on the format alone.  MemoryError and -1 if there is no memory. */
int pqc_scales_int(pqc_scales *s, const pqc_operands *o, pqc_int_format format);
int pqc_scales_float(pqc_scales *s, const pqc_operands *o, const pqc_float_format *format);
/* `mul` is amax itself, in the precision of x. */
int pqc_scales_amax(pqc_scales *s, const pqc_operands *o);
void pqc_scales_clear(pqc_scales *s);

#endif

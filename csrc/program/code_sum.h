/* The sum of two codes as a code of another scale.  Where bytes are added to results that are codes as well, no more than 65536
 * pairs of codes can occur.  What requantize.h says of them - two divisions, their sum, a product, each rounded - is for
 * most scales, and for each of the pairs, the same code as
 *
 *     rint(fma(between, first, fma(residual, second, offset)))        before it is clamped
 *
 * `residual` being the byte as it is.  Numbers for which this is so are searched for. */
#ifndef PQC_CODE_SUM_H
#define PQC_CODE_SUM_H

#include "requantize/requantize.h"

/* For the residual, `between` and the first output of `f`, whose second clamp is folded into the codes; `there` is false unless
 * all three are bytes and every pair of codes agrees. */
pqc_code_sum pqc_code_sum_of(const pqc_output *f);

#endif

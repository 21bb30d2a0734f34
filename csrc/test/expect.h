/* What several tests expect: formulas in double, and formats by their definitions. */
#ifndef PQC_EXPECT_H
#define PQC_EXPECT_H

#include "check.h"
#include "quant_params/quant_params.h"

float expect_quantized(float x, float mul, float lo, float hi);
float expect_fake(float x, float mul, float div, float lo, float hi);

uint16_t expect_f16(float x);
uint16_t expect_bf16(float x);
uint32_t expect_from_f16(unsigned h); /* bits of a float */

/* The value of a code (sign bit 0) with that many mantissa bits and that exponent bias; the code of
 * infinity has the value that would follow the largest finite one, as rounding needs it. */
double value_of_code(unsigned code, int mantissa_bits, int bias);

/* Ranges and formats that quantisers of integers are tried with. */
typedef struct {
    float amax;
    pqc_int_format format;
} int_quant_case;
enum { INT_QUANT_CASES = 17 };
extern const int_quant_case int_quant_cases[INT_QUANT_CASES];

#endif

/* Floats of 4 to 8 bits by their definition: what rounding to them and coding them is held against. */
#ifndef PQC_TEST_SMALL_FLOATS_H
#define PQC_TEST_SMALL_FLOATS_H

/* OCP's formats; `largest` is the code of the largest finite value. */
typedef struct {
    int exponent, mantissa, largest;
} small_float;

enum { SMALL_FLOATS = 5 };
extern const small_float small_floats[SMALL_FLOATS];

double small_value(small_float f, int code); /* of a code without the sign */
double nearest_small(small_float f, double v,
                     int *code); /* ties to the even code; NaN stays; code may be NULL */

#endif

/* A matrix unit in plain C, as amx_gemm.h wants it: what drives a unit is tested on every machine, and the sanitizers see
 * each byte that is read. */
#ifndef PQC_PLAIN_AMX_H
#define PQC_PLAIN_AMX_H

#include "amx_gemm/amx_gemm.h"

extern const pqc_amx_gemm plain_amx;

/* How pixels came to it, and results left it. */
enum {
    PLAIN_STRAIGHT = 1, /* from an image */
    PLAIN_C4 = 2,       /* in panels */
    PLAIN_GATHERED = 4,
    PLAIN_KW4 = 8,
    PLAIN_SCATTERED = 16, /* results with others' between them */
    PLAIN_ROWS = 32
};

unsigned plain_amx_ways(void); /* since this was asked last */

#endif

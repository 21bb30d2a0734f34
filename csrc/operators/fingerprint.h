/* The fingerprint of a whole array (fingerprint/fingerprint.h), on this thread. */
#ifndef PQC_OPERATORS_FINGERPRINT_H
#define PQC_OPERATORS_FINGERPRINT_H

#include "fingerprint/fingerprint.h"

pqc_mark pqc_fingerprint_of(const void *x, ptrdiff_t n);

#endif

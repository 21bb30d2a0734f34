/* Time that only goes forward. */
#ifndef PQC_CLOCK_H
#define PQC_CLOCK_H

#include "pqc.h"

int64_t pqc_nanoseconds(void);

#endif

/* The mode of floating-point arithmetic belongs to the thread: MXCSR on x86, FPCR on ARM.  A library that flushes
 * subnormals or rounds another way (torch.set_flush_denormal, fesetround, a thread pool that inherited either) would change
 * our results.  Kernels therefore run in the default mode: round to nearest, ties to even, subnormals kept, no traps. */
#ifndef PQC_FLOAT_MODE_H
#define PQC_FLOAT_MODE_H

#include "pqc.h"

typedef uint64_t pqc_float_mode;

/* Sets the default mode on this thread and returns the one it had. */
pqc_float_mode pqc_set_default_float_mode(void);

/* Puts back what pqc_set_default_float_mode returned. */
void pqc_restore_float_mode(pqc_float_mode before);

#endif

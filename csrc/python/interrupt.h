/* Ctrl-C during a long call. */
#ifndef PQC_INTERRUPT_H
#define PQC_INTERRUPT_H

#include "numpy_api.h"

#include <stdbool.h>

/* For code without the GIL, with the address of the thread state that PyEval_SaveThread gave: takes the GIL, runs the
 * handlers of signals that have come, and lets it go.  True if one raised: the exception is set then. */
bool pqc_interrupted(void *thread_state);

#endif

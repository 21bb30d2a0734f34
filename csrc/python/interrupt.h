/* Ctrl-C during a long call. */
#ifndef PQC_INTERRUPT_H
#define PQC_INTERRUPT_H

#include "numpy_api.h"

#include <stdbool.h>

/* For code that runs without the GIL, given the address of the thread state from PyEval_SaveThread: takes the GIL,
 * runs pending signal handlers, and releases it.  True if one raised an exception, which stays set. */
bool pqc_interrupted(void *thread_state);

#endif

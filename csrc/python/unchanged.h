/* Checks whether arrays still have the contents that something was computed from. */
#ifndef PQC_UNCHANGED_H
#define PQC_UNCHANGED_H

#include "numpy_api.h"

/* `proof` is None, a read-only array, or a tuple of such arrays and of (array, like, mark).  In the last, `array`
 * must be a dense float32 array of the shape of `like`, with the fingerprint `mark` or, if that is None, the same
 * bytes as `like`.  Returns 1, 0, or -1 with an exception for anything else.  Runs no code of the caller's; releases
 * the GIL while it reads a large array. */
int pqc_is_unchanged(PyObject *proof);

#endif

/* Whether arrays still have the contents that something was made of. */
#ifndef PQC_UNCHANGED_H
#define PQC_UNCHANGED_H

#include "numpy_api.h"

/* `proof` is None; an array, which must be read-only; or a tuple of those and of (array, like, mark): `array`
 * must be a dense float32 array of the shape of `like`, and have the fingerprint `mark`, or, where
 * that is None, the very bytes of `like`.  1, 0, or -1 with an exception for anything else.
 * Runs no code of the caller's; lets other threads run while it reads a large array. */
int pqc_is_unchanged(PyObject *proof);

#endif

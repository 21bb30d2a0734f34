/* The memory of results: on cache lines, and that of large ones kept for the next result of about that size. */
#ifndef PQC_OUTPUT_MEMORY_H
#define PQC_OUTPUT_MEMORY_H

#include "numpy_api.h"

/* A new C-contiguous array, not initialised; steals the reference to `descr`; NULL with an exception.  From 16 KiB on it begins
 * on a cache line, so that no store is across two and a large one can be written around the caches.  The kernel clears each
 * page of fresh memory at its first touch, which takes longer than to quantise it; so blocks of 1 MiB and more are kept when
 * their arrays go, at most four and 64 MiB in all.  An array knows where its memory goes by NumPy's handler (NEP 49); a handler
 * that the caller has set is left to do its work. */
PyArrayObject *pqc_new_array(PyArray_Descr *descr, int ndim, const npy_intp *shape);

static inline PyArrayObject *pqc_new_floats(int ndim, const npy_intp *shape)
{
    return pqc_new_array(PyArray_DescrFromType(NPY_FLOAT), ndim, shape);
}

#endif

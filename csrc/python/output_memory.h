/* Memory for result arrays: aligned to cache lines; large blocks are kept and reused for results of similar size. */
#ifndef PQC_OUTPUT_MEMORY_H
#define PQC_OUTPUT_MEMORY_H

#include "numpy_api.h"

/* A new uninitialised C-contiguous array; steals the reference to `descr`; NULL with an exception.  From 16 KiB on it
 * is aligned to a cache line, so that no store crosses two and a large array can be written past the caches.  The
 * kernel clears every page of fresh memory on first touch, which takes longer than quantising it, so blocks of 1 MiB
 * and more are kept when their arrays are freed: at most four, and 64 MiB in total.  NumPy's handler (NEP 49) returns
 * an array's memory here; a handler that the caller has set is left in place. */
PyArrayObject *pqc_new_array(PyArray_Descr *descr, int ndim, const npy_intp *shape);

static inline PyArrayObject *pqc_new_floats(int ndim, const npy_intp *shape)
{
    return pqc_new_array(PyArray_DescrFromType(NPY_FLOAT), ndim, shape);
}

#endif

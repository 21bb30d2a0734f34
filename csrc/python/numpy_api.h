/* The only file that includes NumPy's headers; module.c alone imports its C API (PQC_IMPORT_NUMPY). */
#ifndef PQC_NUMPY_API_H
#define PQC_NUMPY_API_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define PY_ARRAY_UNIQUE_SYMBOL pqc_numpy_api
#ifndef PQC_IMPORT_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#endif

/* Status codes of the kernels as Python exceptions. */
#ifndef PQC_ERRORS_H
#define PQC_ERRORS_H

#include "numpy_api.h"
#include "pqc.h"

/* 0 for PQC_OK; else sets the exception and returns -1. */
int pqc_raise(pqc_status status);

/* Sets TypeError "FUNCTION expected LOW to HIGH arguments, got N" and returns -1 unless LOW <= N <=
 * HIGH. */
int pqc_check_count(const char *function, Py_ssize_t n, Py_ssize_t low, Py_ssize_t high);

#endif

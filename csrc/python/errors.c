/* The table of status codes and the exceptions that they become. */
#include "errors.h"

int pqc_raise(pqc_status status)
{
    switch (status) {
    case PQC_OK:
        return 0;
    case PQC_NEGATIVE_INPUT:
        PyErr_SetString(PyExc_TypeError, "Negative values encountered in unsigned quantization.");
        return -1;
    }
    PyErr_Format(PyExc_SystemError, "unknown status %d of a kernel", (int)status);
    return -1;
}

int pqc_check_count(const char *function, Py_ssize_t n, Py_ssize_t low, Py_ssize_t high)
{
    if (n >= low && n <= high)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s expected %zd to %zd positional arguments, got %zd", function,
                 low, high, n);
    return -1;
}

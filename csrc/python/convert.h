/* From Python's arguments to what the kernels take.  Every function names the argument in its
 * exception. */
#ifndef PQC_CONVERT_H
#define PQC_CONVERT_H

#include "float_mode.h"
#include "numpy_api.h"
#include "quant_params/quant_params.h"

/* Sets an exception: what `format` says was expected, then ", got" and the value in few characters: an array as its dtype
 * and shape, anything else as the beginning of its repr(). */
void pqc_refuse(PyObject *type, PyObject *got, const char *format, ...);

/* A new reference to a C-contiguous, aligned array of native byte order, of float32, float16,
 * bfloat16 or float64: the object itself where it is one.  Python numbers, lists and tuples become
 * float32.  Else TypeError naming the dtype. */
PyArrayObject *pqc_float_array(PyObject *object, const char *name, pqc_dtype *dtype);

/* A new reference to a C-contiguous array of doubles (`as_double`) or floats from numbers of any
 * kind and size: for amax, ranges.  TypeError if it is not numbers. */
PyArrayObject *pqc_number_array(PyObject *object, const char *name, bool as_double);

/* A new reference to an array that is C-contiguous, aligned, of native byte order, of this type and number of dimensions;
 * TypeError that names it for anything else. */
PyArrayObject *pqc_plain_array(PyObject *object, const char *name, int type, int ndim);

/* 0 if such an array still has this type and layout.  Converting another argument may run code of the caller's that gives
 * it others: ValueError and -1.  Arrays are therefore looked at only after everything is converted. */
int pqc_check_unchanged(PyArrayObject *array, const char *name, int type_num);

/* True if the object is a Python number, or an array or NumPy scalar of float64. */
bool pqc_is_double(PyObject *object);

/* A new C-contiguous array of the same shape and dtype, not initialised. */
PyArrayObject *pqc_new_like(PyArrayObject *array);

/* An integer in [low, high]: TypeError for anything that is not one (True and 2.0 are not),
 * ValueError naming the range. */
int pqc_get_int(PyObject *object, const char *name, long low, long high, long *value);

/* The format of three arguments, num_bits from low to high, unsigned and narrow_range. */
int pqc_get_int_format(PyObject *const *args, long low, long high, pqc_int_format *format);

/* The format of two arguments, exponent and mantissa: (5, 2), (4, 3), (3, 2), (2, 3) or (2, 1), else ValueError. */
int pqc_get_float_format(PyObject *const *args, pqc_float_format *format);

/* True or False, by Python's rules of truth. */
int pqc_get_bool(PyObject *object, bool *value);

/* Where a result of this shape and dtype goes: a new array if `out` is NULL or None, else `out`
 * after its checks (TypeError for its type or dtype, ValueError for its shape or if it is
 * read-only).  `direct` says that a kernel may write into the returned array: contiguous, and apart
 * from `x` unless it is exactly x.  If not, the returned array is a new one, which
 * pqc_finish_output copies to `out`. */
PyArrayObject *pqc_begin_output(PyObject *out, PyArrayObject *x);

/* What the function returns: `result`, copied into `out` if they differ.  Steals `result`. */
PyObject *pqc_finish_output(PyArrayObject *result, PyObject *out);

/* Work on fewer elements than this is not worth letting other threads run. */
enum { PQC_KEEP_GIL = 4096 };

static inline PyThreadState *pqc_release_gil(ptrdiff_t elements)
{
    return elements < PQC_KEEP_GIL ? NULL : PyEval_SaveThread();
}

static inline void pqc_acquire_gil(PyThreadState *state)
{
    if (state)
        PyEval_RestoreThread(state);
}

#endif

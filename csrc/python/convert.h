/* Converts Python arguments to what the kernels take.  Every exception names the argument. */
#ifndef PQC_CONVERT_H
#define PQC_CONVERT_H

#include "float_mode.h"
#include "numpy_api.h"
#include "quant_params/quant_params.h"

/* Sets an exception: what `format` says was expected, then ", got" and a short form of the value: dtype and shape of
 * an array, the beginning of the repr() of anything else. */
void pqc_refuse(PyObject *type, PyObject *got, const char *format, ...);

/* A new reference to a C-contiguous, aligned array of float32, float16, bfloat16 or float64 in native byte order: the
 * object itself if it is one.  Python numbers, lists and tuples become float32.  Otherwise a TypeError that names the
 * dtype. */
PyArrayObject *pqc_float_array(PyObject *object, const char *name, pqc_dtype *dtype);

/* A new reference to a C-contiguous array of doubles (`as_double`) or floats from numbers of any type; for amax and
 * ranges.  TypeError if there are no numbers. */
PyArrayObject *pqc_number_array(PyObject *object, const char *name, bool as_double);

/* A new reference to a C-contiguous, aligned array in native byte order, of this type and number of dimensions;
 * TypeError that names the argument for anything else. */
PyArrayObject *pqc_plain_array(PyObject *object, const char *name, int type, int ndim);

/* 0 if such an array still has this type and layout; else ValueError and -1.  Converting another argument may run the
 * caller's code, which may change them.  Arrays are therefore read only after every argument is converted. */
int pqc_check_unchanged(PyArrayObject *array, const char *name, int type_num);

/* True if the object is a Python number, or an array or NumPy scalar of float64. */
bool pqc_is_double(PyObject *object);

/* A new C-contiguous array of the same shape and dtype, not initialised. */
PyArrayObject *pqc_new_like(PyArrayObject *array);

/* An integer in [low, high]: TypeError for anything that is not one (True and 2.0 are not),
 * ValueError naming the range. */
int pqc_get_int(PyObject *object, const char *name, long low, long high, long *value);

/* An integer format from three arguments: num_bits in [low, high], unsigned, narrow_range. */
int pqc_get_int_format(PyObject *const *args, long low, long high, pqc_int_format *format);

/* A float format from two arguments, exponent and mantissa bits: (5, 2), (4, 3), (3, 2), (2, 3) or (2, 1); else
 * ValueError. */
int pqc_get_float_format(PyObject *const *args, pqc_float_format *format);

/* The truth value of an object, by Python's rules. */
int pqc_get_bool(PyObject *object, bool *value);

/* The array for a result of this shape and dtype: a new one if `out` is NULL or None, else `out` after checks
 * (TypeError for its type or dtype, ValueError for its shape or if it is read-only).  A kernel may write to the
 * returned array: if `out` is not contiguous, or overlaps `x` without being x, that is a new array, which
 * pqc_finish_output copies to `out`. */
PyArrayObject *pqc_begin_output(PyObject *out, PyArrayObject *x);

/* What the function returns: `result`, copied to `out` if that is another array.  Steals `result`. */
PyObject *pqc_finish_output(PyArrayObject *result, PyObject *out);

/* For fewer elements than this, releasing the GIL does not pay. */
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

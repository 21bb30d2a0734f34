/* Converts Python arguments to arrays, numbers and formats, and makes output arrays; messages name the argument. */
#include "convert.h"

#include "output_memory.h"

#include <string.h>

/* ml_dtypes registers bfloat16 with NumPy; this finds it without importing that package. */
static bool is_bfloat16(PyArray_Descr *descr)
{
    if (!PyTypeNum_ISUSERDEF(descr->type_num) || PyDataType_ELSIZE(descr) != 2)
        return false;
    const char *name = descr->typeobj->tp_name, *dot = strrchr(name, '.');
    return strcmp(dot ? dot + 1 : name, "bfloat16") == 0;
}

static bool float_dtype(PyArray_Descr *descr, pqc_dtype *dtype)
{
    switch (descr->type_num) {
    case NPY_FLOAT:
        *dtype = PQC_F32;
        return true;
    case NPY_DOUBLE:
        *dtype = PQC_F64;
        return true;
    case NPY_HALF:
        *dtype = PQC_F16;
        return true;
    }
    *dtype = PQC_BF16;
    return is_bfloat16(descr);
}

/* Messages show at most this many characters of a value. */
enum { SHOWN = 120 };

/* A value as messages show it: the dtype and shape of an array, the beginning of the repr() of anything else. */
static PyObject *shown(PyObject *object)
{
    if (PyArray_Check(object)) {
        PyArrayObject *array = (PyArrayObject *)object;
        PyObject *shape = PyArray_IntTupleFromIntp(PyArray_NDIM(array), PyArray_DIMS(array));
        PyObject *text = shape ? PyUnicode_FromFormat("an array of %S with shape %R",
                                                      PyArray_DESCR(array), shape)
                               : NULL;
        Py_XDECREF(shape);
        return text;
    }
    PyObject *text = PyObject_Repr(object);
    if (text && PyUnicode_GetLength(text) > SHOWN) {
        PyObject *whole = text, *start = PyUnicode_Substring(whole, 0, SHOWN - 3);
        text = start ? PyUnicode_FromFormat("%U...", start) : NULL;
        Py_XDECREF(start);
        Py_DECREF(whole);
    }
    return text;
}

void pqc_refuse(PyObject *type, PyObject *got, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    PyObject *expected = PyUnicode_FromFormatV(format, arguments);
    va_end(arguments);
    PyObject *value = expected ? shown(got) : NULL;
    if (value)
        PyErr_Format(type, "%U, got %U", expected, value);
    Py_XDECREF(value);
    Py_XDECREF(expected);
}

static bool is_sequence_or_number(PyObject *object)
{
    return PyList_Check(object) || PyTuple_Check(object) || PyFloat_CheckExact(object) ||
           PyLong_CheckExact(object);
}

static bool is_real(PyArrayObject *array)
{
    return PyArray_ISINTEGER(array) || PyArray_ISFLOAT(array) || is_bfloat16(PyArray_DESCR(array));
}

static PyArrayObject *refuse_dtype(PyArrayObject *array, const char *name, const char *expected)
{
    PyErr_Format(PyExc_TypeError, "Expected `%s` to be %s, got an array of %S", name, expected,
                 PyArray_DESCR(array));
    Py_DECREF(array);
    return NULL;
}

/* True if the exception came out of Python code, so from the object's own methods: NumPy's own have no traceback yet. */
static bool is_raised_in_python(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    bool has_traceback = traceback != NULL;
    PyErr_Restore(type, value, traceback);
    return has_traceback;
}

/* np.asarray(object); its exception names the argument. */
static PyArrayObject *any_array(PyObject *object, const char *name, const char *expected)
{
    PyArrayObject *array =
        (PyArrayObject *)PyArray_FromAny(object, NULL, 0, 0, NPY_ARRAY_ENSUREARRAY, NULL);
    if (!array && !is_raised_in_python() &&
        (PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_TypeError))) {
        PyErr_Clear();
        PyErr_Format(PyExc_TypeError, "Expected `%s` to be %s, got a ragged or unreadable %s", name,
                     expected, Py_TYPE(object)->tp_name);
    }
    return array;
}

static PyArrayObject *contiguous(PyArrayObject *array, int type_num)
{
    PyArray_Descr *descr;
    if (type_num != NPY_NOTYPE) {
        descr = PyArray_DescrFromType(type_num);
    } else if (PyArray_ISNOTSWAPPED(array)) {
        descr = PyArray_DESCR(array);
        Py_INCREF(descr);
    } else {
        descr = PyArray_DescrNewByteorder(PyArray_DESCR(array), NPY_NATIVE);
    }
    PyObject *made =
        descr ? PyArray_FromArray(array, descr, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_FORCECAST) : NULL;
    Py_DECREF(array);
    return (PyArrayObject *)made;
}

PyArrayObject *pqc_float_array(PyObject *object, const char *name, pqc_dtype *dtype)
{
    static const char expected[] = "float32, float16, bfloat16 or float64";
    if (PyArray_CheckExact(object) && PyArray_ISCARRAY_RO((PyArrayObject *)object) &&
        float_dtype(PyArray_DESCR((PyArrayObject *)object), dtype)) {
        Py_INCREF(object);
        return (PyArrayObject *)object;
    }
    PyArrayObject *array = any_array(object, name, expected);
    if (!array)
        return NULL;
    if (is_sequence_or_number(object)) {
        if (!is_real(array))
            return refuse_dtype(array, name, expected);
        *dtype = PQC_F32;
        return contiguous(array, NPY_FLOAT);
    }
    if (!float_dtype(PyArray_DESCR(array), dtype))
        return refuse_dtype(array, name, expected);
    return contiguous(array, NPY_NOTYPE);
}

PyArrayObject *pqc_number_array(PyObject *object, const char *name, bool as_double)
{
    static const char expected[] = "real numbers";
    PyArrayObject *array = any_array(object, name, expected);
    if (!array)
        return NULL;
    if (!is_real(array))
        return refuse_dtype(array, name, expected);
    return contiguous(array, as_double ? NPY_DOUBLE : NPY_FLOAT);
}

PyArrayObject *pqc_plain_array(PyObject *object, const char *name, int type, int ndim)
{
    PyArrayObject *array = (PyArrayObject *)object;
    if (PyArray_Check(object) && PyArray_TYPE(array) == type && PyArray_NDIM(array) == ndim &&
        PyArray_CHKFLAGS(array, NPY_ARRAY_CARRAY_RO) && PyArray_ISNOTSWAPPED(array))
        return (PyArrayObject *)Py_NewRef(object);
    pqc_refuse(PyExc_TypeError, object,
               "Expected `%s` to be a contiguous array of %d dimensions of its type", name, ndim);
    return NULL;
}

int pqc_check_unchanged(PyArrayObject *array, const char *name, int type_num)
{
    if (PyArray_TYPE(array) == type_num && PyArray_ISCARRAY_RO(array))
        return 0;
    PyErr_Format(PyExc_ValueError,
                 "Expected `%s` to keep its dtype and layout while other arguments are converted",
                 name);
    return -1;
}

bool pqc_is_double(PyObject *object)
{
    if (PyArray_Check(object))
        return PyArray_TYPE((PyArrayObject *)object) == NPY_DOUBLE;
    return is_sequence_or_number(object) || PyArray_IsScalar(object, Double);
}

PyArrayObject *pqc_new_like(PyArrayObject *array)
{
    PyArray_Descr *descr = PyArray_DESCR(array);
    Py_INCREF(descr);
    return pqc_new_array(descr, PyArray_NDIM(array), PyArray_DIMS(array));
}

int pqc_get_int(PyObject *object, const char *name, long low, long high, long *value)
{
    bool looks_right = PyIndex_Check(object) && !PyBool_Check(object);
    PyObject *index = looks_right ? PyNumber_Index(object) : NULL;
    if (!index &&
        (!looks_right || (PyErr_ExceptionMatches(PyExc_TypeError) && !is_raised_in_python()))) {
        PyErr_Clear();
        PyErr_Format(PyExc_TypeError, "Expected `%s` to be an integer from %ld to %ld, got %.80R",
                     name, low, high, object);
    }
    if (!index)
        return -1;
    int overflow = 0;
    *value = PyLong_AsLongAndOverflow(index, &overflow);
    Py_DECREF(index);
    if (*value == -1 && PyErr_Occurred())
        return -1;
    if (!overflow && *value >= low && *value <= high)
        return 0;
    if (overflow) /* repr may refuse: it may have more digits than Python prints */
        PyErr_Format(PyExc_ValueError, "Expected `%s` to be an integer from %ld to %ld, got a %s",
                     name, low, high, overflow > 0 ? "huge one" : "huge negative one");
    else
        PyErr_Format(PyExc_ValueError, "Expected `%s` to be an integer from %ld to %ld, got %ld",
                     name, low, high, *value);
    return -1;
}

int pqc_get_float_format(PyObject *const *args, pqc_float_format *format)
{
    static const char *const known[] = {"52", "43", "32", "23", "21"};
    long exponent, mantissa;
    if (pqc_get_int(args[0], "exponent", 0, 9, &exponent) < 0 ||
        pqc_get_int(args[1], "mantissa", 0, 9, &mantissa) < 0)
        return -1;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (exponent == known[i][0] - '0' && mantissa == known[i][1] - '0') {
            *format = pqc_float_format_init((int)exponent, (int)mantissa);
            return 0;
        }
    PyErr_Format(PyExc_ValueError,
                 "Expected the float format (5, 2), (4, 3), (3, 2), (2, 3) or (2, 1), got (%ld, "
                 "%ld)",
                 exponent, mantissa);
    return -1;
}

int pqc_get_bool(PyObject *object, bool *value)
{
    int truth = object == Py_True ? 1 : object == Py_False ? 0 : PyObject_IsTrue(object);
    *value = truth > 0;
    return truth < 0 ? -1 : 0;
}

int pqc_get_int_format(PyObject *const *args, long low, long high, pqc_int_format *format)
{
    long num_bits;
    if (pqc_get_int(args[0], "num_bits", low, high, &num_bits) < 0 ||
        pqc_get_bool(args[1], &format->is_unsigned) < 0 ||
        pqc_get_bool(args[2], &format->narrow_range) < 0)
        return -1;
    format->num_bits = (int)num_bits;
    if (num_bits == 1 && !format->is_unsigned) {
        PyErr_SetString(PyExc_ValueError,
                        "Expected `num_bits` >= 2 for signed quantisation, got 1");
        return -1;
    }
    return 0;
}

static int check_out(PyArrayObject *out, PyArrayObject *x)
{
    if (!PyArray_EquivTypes(PyArray_DESCR(out), PyArray_DESCR(x))) {
        PyErr_Format(PyExc_TypeError, "Expected `out` of dtype %S, got %S", PyArray_DESCR(x),
                     PyArray_DESCR(out));
        return -1;
    }
    if (!PyArray_SAMESHAPE(out, x)) {
        PyObject *wanted = PyArray_IntTupleFromIntp(PyArray_NDIM(x), PyArray_DIMS(x));
        PyObject *given = PyArray_IntTupleFromIntp(PyArray_NDIM(out), PyArray_DIMS(out));
        if (wanted && given)
            PyErr_Format(PyExc_ValueError, "Expected `out` of shape %R, got %R", wanted, given);
        Py_XDECREF(wanted);
        Py_XDECREF(given);
        return -1;
    }
    if (!PyArray_ISWRITEABLE(out)) {
        PyErr_SetString(PyExc_ValueError, "Expected `out` to be writeable, got a read-only array");
        return -1;
    }
    return 0;
}

static bool apart(PyArrayObject *a, PyArrayObject *b)
{
    const char *from_a = PyArray_BYTES(a), *from_b = PyArray_BYTES(b);
    return from_a + PyArray_NBYTES(a) <= from_b || from_b + PyArray_NBYTES(b) <= from_a;
}

PyArrayObject *pqc_begin_output(PyObject *out, PyArrayObject *x)
{
    if (!out || out == Py_None)
        return pqc_new_like(x);
    if (!PyArray_Check(out)) {
        PyErr_Format(PyExc_TypeError, "Expected `out` to be an array, got %s",
                     Py_TYPE(out)->tp_name);
        return NULL;
    }
    PyArrayObject *array = (PyArrayObject *)out;
    if (check_out(array, x) < 0)
        return NULL;
    bool same = PyArray_DATA(array) == PyArray_DATA(x);
    if (!PyArray_ISCARRAY(array) || !(same || apart(array, x)))
        return pqc_new_like(x);
    Py_INCREF(out);
    return array;
}

PyObject *pqc_finish_output(PyArrayObject *result, PyObject *out)
{
    if (!result || !out || out == Py_None || (PyObject *)result == out)
        return (PyObject *)result;
    int failed = PyArray_CopyInto((PyArrayObject *)out, result);
    Py_DECREF(result);
    if (failed < 0)
        return NULL;
    Py_INCREF(out);
    return out;
}

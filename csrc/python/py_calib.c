/* Magnitude histograms, and the calibration searches for the bin to clip at. */
#include "search.h"
#include "convert.h"
#include "errors.h"
#include "families.h"
#include "histogram.h"
#include "interrupt.h"
#include "parallel.h"

#include <math.h>

enum {
    MAX_BINS = 1 << 24,
    MIN_ROW = 64, /* shorter rows are better copied together */
    COPY = NPY_ARRAY_CARRAY_RO | NPY_ARRAY_ENSUREARRAY | NPY_ARRAY_ENSURECOPY,
};

/* A private C-contiguous copy as a vector of this type, with between `least` and `most` numbers: what is checked
 * here, or read twice by a search, must not be changed by other arguments or threads in the meantime. */
static PyArrayObject *vector(PyObject *object, const char *name, int type_num, npy_intp least,
                             npy_intp most)
{
    PyArrayObject *array = (PyArrayObject *)PyArray_FROMANY(object, type_num, 1, 1, COPY);
    if (array && (PyArray_SIZE(array) < least || PyArray_SIZE(array) > most)) {
        PyErr_Format(PyExc_ValueError, "Expected `%s` to have %zd to %zd numbers, got %zd", name,
                     least, most, PyArray_SIZE(array));
        Py_CLEAR(array);
    }
    return array;
}

static int check_edges(PyArrayObject *edges)
{
    const float *e = PyArray_DATA(edges);
    npy_intp bins = PyArray_SIZE(edges) - 1;
    int good = isfinite(e[0]) && isfinite(e[bins]);
    for (npy_intp i = 0; i < bins; i++)
        good &= e[i] <= e[i + 1];
    if (!good)
        PyErr_SetString(PyExc_ValueError, "Expected `edges` to be finite and rising");
    return good ? 0 : -1;
}

/* True if the elements along this axis are `step` bytes apart, or there is only one. */
static bool goes_on(PyArrayObject *x, int axis, npy_intp step)
{
    return PyArray_STRIDE(x, axis) == step || PyArray_DIM(x, axis) == 1;
}

/* Sets inner and stride if the array consists of contiguous rows at one distance, as one channel of a batch of images
 * does. */
static bool as_rows(PyArrayObject *x, pqc_elements *e)
{
    int last = PyArray_NDIM(x) - 1;
    npy_intp size = PyArray_ITEMSIZE(x), rows = 1;
    e->inner = 1;
    for (; last >= 0 && goes_on(x, last, e->inner * size); last--)
        e->inner *= PyArray_DIM(x, last);
    npy_intp step = last < 0 ? e->inner * size : PyArray_STRIDE(x, last);
    e->stride = step / size;
    for (; last >= 0 && goes_on(x, last, rows * step); last--)
        rows *= PyArray_DIM(x, last);
    return last < 0 && step % size == 0 && e->inner >= MIN_ROW && PyArray_ISALIGNED(x) &&
           PyArray_ISNOTSWAPPED(x);
}

/* A new reference to `object` as an array of floats, and its elements: rows in place if possible, else a contiguous
 * copy. */
static PyArrayObject *get_elements(PyObject *object, pqc_elements *e)
{
    PyArrayObject *x = NULL;
    e->dtype = PQC_F32;
    if (PyArray_CheckExact(object) && PyArray_TYPE((PyArrayObject *)object) == NPY_FLOAT &&
        as_rows((PyArrayObject *)object, e)) {
        Py_INCREF(object);
        x = (PyArrayObject *)object;
    } else {
        x = pqc_float_array(object, "x", &e->dtype);
        if (x)
            e->inner = e->stride = PyArray_SIZE(x) > 0 ? PyArray_SIZE(x) : 1;
    }
    if (x) {
        e->data = PyArray_DATA(x);
        e->n = PyArray_SIZE(x);
    }
    return x;
}

/* Small arrays are counted while holding the GIL: `state` is then NULL. */
static void stop_by_signals(pqc_elements *e, PyThreadState **state)
{
    e->stop = *state ? pqc_interrupted : NULL;
    e->stop_context = state;
}

static int check_counts(PyObject *counts, npy_intp bins)
{
    if (PyArray_Check(counts) && PyArray_TYPE((PyArrayObject *)counts) == NPY_INT64 &&
        PyArray_ISCARRAY((PyArrayObject *)counts) && PyArray_SIZE((PyArrayObject *)counts) == bins)
        return 0;
    PyErr_Format(PyExc_ValueError, "Expected `counts` to be a writeable array of %zd int64", bins);
    return -1;
}

PyDoc_STRVAR(histogram_doc,
             "histogram(x, edges, counts, skip_zeros, partial, /)\n--\n\n"
             "Adds |x| to `counts` (int64, in place) in the bins between `edges` (float32, rising; "
             "the last bin is closed).\n"
             "Returns the largest |x|, NaN if any is.  If that is above the last edge, nothing is "
             "added, or with `partial`\nonly what has a bin.");

static PyObject *histogram(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_elements elements;
    bool skip_zeros, partial;
    void *scratch = NULL;
    PyObject *result = NULL;
    PyArrayObject *x = NULL, *edges = NULL;
    (void)self;
    if (pqc_check_count("histogram", count, 5, 5) < 0 || pqc_get_bool(args[3], &skip_zeros) < 0 ||
        pqc_get_bool(args[4], &partial) < 0)
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    edges = vector(args[1], "edges", NPY_FLOAT, 2, MAX_BINS + 1);
    if (!edges || check_edges(edges) < 0 || !(x = get_elements(args[0], &elements)))
        goto done;
    ptrdiff_t bins = PyArray_SIZE(edges) - 1;
    int slots = pqc_get_num_threads();
    scratch = PyMem_RawMalloc(pqc_histogram_scratch(bins, slots));
    if (check_counts(args[2], bins) < 0 || (!scratch && PyErr_NoMemory() == NULL))
        goto done;
    int64_t *counts = PyArray_DATA((PyArrayObject *)args[2]);
    PyThreadState *state = pqc_release_gil(elements.n);
    stop_by_signals(&elements, &state);
    float largest = pqc_histogram(elements, PyArray_DATA(edges), bins, skip_zeros, partial, scratch,
                                  slots, counts);
    pqc_acquire_gil(state);
    result = largest == PQC_COUNTING_STOPPED ? NULL : PyFloat_FromDouble(largest);
done:
    pqc_restore_float_mode(mode);
    PyMem_RawFree(scratch);
    Py_XDECREF(x);
    Py_XDECREF(edges);
    return result;
}

PyDoc_STRVAR(
    histc_edges_doc,
    "histc_edges(high, bins, /)\n--\n\n"
    "The edges, float32, that torch.histc(bins=bins, min=0, max=high) means: edge i is the "
    "least x\nwith float32(x * bins) / high >= i, the last one is `high`.");

static PyObject *histc_edges(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    long bins;
    (void)self;
    if (pqc_check_count("histc_edges", count, 2, 2) < 0 ||
        pqc_get_int(args[1], "bins", 1, MAX_BINS, &bins) < 0)
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    PyArrayObject *edges = NULL;
    npy_intp length = bins + 1;
    float high = (float)PyFloat_AsDouble(args[0]);
    if (!PyErr_Occurred() && !(high > 0.0f && isfinite(high)))
        pqc_refuse(PyExc_ValueError, args[0], "Expected `high` to be finite and above 0");
    if (!PyErr_Occurred())
        edges = (PyArrayObject *)PyArray_SimpleNew(1, &length, NPY_FLOAT);
    if (edges)
        pqc_histc_edges(high, bins, PyArray_DATA(edges));
    pqc_restore_float_mode(mode);
    return (PyObject *)edges;
}

PyDoc_STRVAR(magnitudes_doc, "magnitudes(x, /)\n--\n\n"
                             "(the least |x| above 0, inf if there is none; the largest finite "
                             "|x|, 0 if there is none;\nhow many are 0; NaN; infinite).");

static PyObject *magnitudes(PyObject *self, PyObject *object)
{
    pqc_elements elements;
    (void)self;
    PyArrayObject *x = get_elements(object, &elements);
    if (!x)
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    PyThreadState *state = pqc_release_gil(elements.n);
    stop_by_signals(&elements, &state);
    pqc_magnitudes m = pqc_magnitudes_of(elements);
    pqc_acquire_gil(state);
    PyObject *result =
        m.largest == PQC_COUNTING_STOPPED
            ? NULL
            : Py_BuildValue("(ddLLL)", (double)m.smallest, (double)m.largest, (long long)m.zeros,
                            (long long)m.nans, (long long)m.infs);
    pqc_restore_float_mode(mode); /* only after subnormals have been widened */
    Py_DECREF(x);
    return result;
}

/* The arguments common to the two searches over candidates: stride and start_bin. */
static int get_candidates(PyObject *const *args, long least, pqc_search *s)
{
    long step, first;
    if (pqc_get_int(args[0], "stride", 1, MAX_BINS, &step) < 0 ||
        pqc_get_int(args[1], "start_bin", least, MAX_BINS, &first) < 0)
        return -1;
    *s = (pqc_search){.start = first, .stride = step};
    return 0;
}

/* A copy of the counts; the search points to it. */
static PyArrayObject *get_counts(PyObject *object, pqc_search *s)
{
    PyArrayObject *counts = vector(object, "counts", NPY_INT64, 1, MAX_BINS);
    if (!counts)
        return NULL;
    s->counts = PyArray_DATA(counts);
    s->bins = PyArray_SIZE(counts);
    for (ptrdiff_t i = 0; i < s->bins; i++)
        if (s->counts[i] < 0) {
            PyErr_SetString(PyExc_ValueError, "Expected a histogram of counts >= 0");
            Py_DECREF(counts);
            return NULL;
        }
    return counts;
}

PyDoc_STRVAR(entropy_search_doc,
             "entropy_search(counts, num_bits, unsigned, stride, start_bin, /)\n--\n\n"
             "The edge to clip at for the least divergence; -1 if there is no candidate.");

static PyObject *entropy_search(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_search s;
    long num_bits;
    bool is_unsigned;
    PyObject *result = NULL;
    (void)self;
    if (pqc_check_count("entropy_search", count, 5, 5) < 0 ||
        pqc_get_int(args[1], "num_bits", 1, 32, &num_bits) < 0 ||
        pqc_get_bool(args[2], &is_unsigned) < 0 || get_candidates(args + 3, 1, &s) < 0)
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    PyArrayObject *counts = get_counts(args[0], &s);
    if (!counts)
        goto done;
    void *scratch = PyMem_RawMalloc(pqc_entropy_scratch(s));
    if (!scratch) {
        PyErr_NoMemory();
        goto done;
    }
    PyThreadState *state = PyEval_SaveThread();
    s.stop = pqc_interrupted, s.stop_context = &state;
    ptrdiff_t edge = pqc_entropy_search(s, (int)num_bits, is_unsigned, scratch);
    PyEval_RestoreThread(state);
    PyMem_RawFree(scratch);
    result = edge == PQC_STOPPED ? NULL : PyLong_FromSsize_t(edge);
done:
    pqc_restore_float_mode(mode);
    Py_XDECREF(counts);
    return result;
}

/* None stands for E4M3. */
static int get_format(PyObject *num_bits, PyObject *is_unsigned, pqc_int_format *format)
{
    long bits = PQC_SEARCH_E4M3;
    *format = (pqc_int_format){.narrow_range = true};
    if (pqc_get_bool(is_unsigned, &format->is_unsigned) < 0 ||
        (num_bits != Py_None && pqc_get_int(num_bits, "num_bits", 0, 32, &bits) < 0))
        return -1;
    format->num_bits = (int)bits;
    if (bits == 1 && !format->is_unsigned) {
        PyErr_SetString(PyExc_ValueError, "Expected `num_bits` of at least 2 if signed, got 1");
        return -1;
    }
    return 0;
}

PyDoc_STRVAR(
    mse_search_doc,
    "mse_search(counts, centres, num_bits, unsigned, stride, start_bin, /)\n--\n\n"
    "The bin whose centre (float32) is the amax of the least squared error; -1 if there is "
    "no candidate.\n`num_bits` None means E4M3.");

static PyObject *mse_search(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    pqc_search s;
    pqc_int_format format;
    PyObject *result = NULL;
    PyArrayObject *counts = NULL, *centres = NULL;
    (void)self;
    if (pqc_check_count("mse_search", count, 6, 6) < 0 ||
        get_format(args[2], args[3], &format) < 0 || get_candidates(args + 4, 0, &s) < 0)
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    counts = get_counts(args[0], &s);
    centres = counts ? vector(args[1], "centres", NPY_FLOAT, s.bins, s.bins) : NULL;
    if (!centres)
        goto done;
    void *scratch = PyMem_RawMalloc(pqc_mse_scratch(s));
    if (!scratch) {
        PyErr_NoMemory();
        goto done;
    }
    PyThreadState *state = PyEval_SaveThread();
    s.stop = pqc_interrupted, s.stop_context = &state;
    ptrdiff_t bin = pqc_mse_search(s, PyArray_DATA(centres), format, scratch);
    PyEval_RestoreThread(state);
    PyMem_RawFree(scratch);
    result = bin == PQC_STOPPED ? NULL : PyLong_FromSsize_t(bin);
done:
    pqc_restore_float_mode(mode);
    Py_XDECREF(counts);
    Py_XDECREF(centres);
    return result;
}

PyDoc_STRVAR(percentile_search_doc,
             "percentile_search(counts, fraction, /)\n--\n\n"
             "The first bin up to which at least this fraction of the counts lies; their number if "
             "rounding allows none.");

static PyObject *percentile_search(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    if (pqc_check_count("percentile_search", count, 2, 2) < 0)
        return NULL;
    double fraction = PyFloat_AsDouble(args[1]);
    if (fraction == -1.0 && PyErr_Occurred())
        return NULL;
    PyArrayObject *counts = vector(args[0], "counts", NPY_INT64, 1, MAX_BINS);
    if (!counts)
        return NULL;
    pqc_float_mode mode = pqc_set_default_float_mode();
    ptrdiff_t bin = pqc_percentile_search(PyArray_DATA(counts), PyArray_SIZE(counts), fraction);
    pqc_restore_float_mode(mode);
    Py_DECREF(counts);
    return PyLong_FromSsize_t(bin);
}

#define FAST(name)                                                                                 \
    {                                                                                              \
#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, name##_doc                        \
    }

PyMethodDef pqc_calib_methods[] = {
    FAST(histogram),       FAST(histc_edges), {"magnitudes", magnitudes, METH_O, magnitudes_doc},
    FAST(entropy_search),  FAST(mse_search),  FAST(percentile_search),
    {NULL, NULL, 0, NULL},
};

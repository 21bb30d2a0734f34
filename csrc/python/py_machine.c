/* Functions about the machine: ISAs, threads, CPUs, compiler. */
#include "convert.h"
#include "dispatch.h"
#include "families.h"
#include "parallel.h"

static PyObject *names(unsigned isas)
{
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < PQC_ISAS; i++) {
        if (!(isas & PQC_BIT(i)))
            continue;
        PyObject *name = PyUnicode_FromString(pqc_isa_name((pqc_isa)i));
        if (!name || PyList_Append(list, name) < 0)
            Py_CLEAR(list);
        Py_XDECREF(name);
    }
    PyObject *result = list ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    return result;
}

PyDoc_STRVAR(
    isa_known_doc,
    "isa_known()\n--\n\nThe names of all ISAs, slowest first, those of other machines included.");

static PyObject *isa_known(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return names(PQC_BIT(PQC_ISAS) - 1);
}

PyDoc_STRVAR(isa_detected_doc,
             "isa_detected()\n--\n\nThe names of the ISAs that this machine runs, slowest first.");

static PyObject *isa_detected(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return names(pqc_detect());
}

PyDoc_STRVAR(
    isa_selected_doc,
    "isa_selected()\n--\n\nThe names of the ISAs whose kernels are in use, slowest first.");

static PyObject *isa_selected(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return names(pqc_selected());
}

PyDoc_STRVAR(
    isa_select_doc,
    "isa_select(names, /)\n--\n\n"
    "Use the kernels of these ISAs, where detected, and scalar ones; returns those selected.");

static PyObject *isa_select(PyObject *self, PyObject *wanted)
{
    unsigned allowed = 0;
    (void)self;
    PyObject *sequence = PySequence_Tuple(wanted);
    if (!sequence)
        return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(sequence); i++) {
        PyObject *name = PyTuple_GET_ITEM(sequence, i);
        const char *text = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
        int isa = 0;
        while (text && isa < PQC_ISAS && strcmp(text, pqc_isa_name((pqc_isa)isa)) != 0)
            isa++;
        if (!text || isa == PQC_ISAS) {
            PyErr_Clear();
            PyObject *known = names(PQC_BIT(PQC_ISAS) - 1);
            if (known)
                pqc_refuse(PyExc_ValueError, name, "Expected an ISA of %R", known);
            Py_XDECREF(known);
            Py_DECREF(sequence);
            return NULL;
        }
        allowed |= PQC_BIT(isa);
    }
    Py_DECREF(sequence);
    return names(pqc_select(allowed));
}

PyDoc_STRVAR(get_num_threads_doc, "get_num_threads()\n--\n\nHow many threads a kernel may use.");

static PyObject *get_num_threads(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyLong_FromLong(pqc_get_num_threads());
}

PyDoc_STRVAR(set_num_threads_doc,
             "set_num_threads(n, /)\n--\n\nSet how many threads a kernel may use.");

static PyObject *set_num_threads(PyObject *self, PyObject *n)
{
    long value;
    (void)self;
    if (pqc_get_int(n, "n", 1, PQC_MAX_THREADS, &value) < 0)
        return NULL;
    pqc_set_num_threads((int)value);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    set_own_threads_doc,
    "set_own_threads(n, /)\n--\n\nSet how many threads a kernel that this thread calls may use; 0: "
    "as many as any other.  Returns what was set before.");

static PyObject *set_own_threads(PyObject *self, PyObject *n)
{
    long value;
    (void)self;
    if (pqc_get_int(n, "n", 0, PQC_MAX_THREADS, &value) < 0)
        return NULL;
    return PyLong_FromLong(pqc_set_own_threads((int)value));
}

PyDoc_STRVAR(available_cpus_doc, "available_cpus()\n--\n\nHow many CPUs this process may run on.");

static PyObject *available_cpus(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyLong_FromLong(pqc_available_cpus());
}

PyDoc_STRVAR(compiler_doc, "compiler()\n--\n\nName and version of the compiler that built this.");

static PyObject *compiler(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
#if defined(__clang__)
    return PyUnicode_FromString("clang " __clang_version__);
#elif defined(__GNUC__)
    return PyUnicode_FromString("gcc " __VERSION__);
#elif defined(_MSC_VER)
    return PyUnicode_FromFormat("msvc %d", _MSC_VER);
#else
    return PyUnicode_FromString("unknown");
#endif
}

PyMethodDef pqc_machine_methods[] = {
    {"isa_known", isa_known, METH_NOARGS, isa_known_doc},
    {"isa_detected", isa_detected, METH_NOARGS, isa_detected_doc},
    {"isa_selected", isa_selected, METH_NOARGS, isa_selected_doc},
    {"isa_select", isa_select, METH_O, isa_select_doc},
    {"get_num_threads", get_num_threads, METH_NOARGS, get_num_threads_doc},
    {"set_num_threads", set_num_threads, METH_O, set_num_threads_doc},
    {"set_own_threads", set_own_threads, METH_O, set_own_threads_doc},
    {"available_cpus", available_cpus, METH_NOARGS, available_cpus_doc},
    {"compiler", compiler, METH_NOARGS, compiler_doc},
    {NULL, NULL, 0, NULL},
};

/* Compiled programs: makes a plan from tables, and runs it on arrays. */
#include "program.h"
#include "convert.h"
#include "errors.h"
#include "families.h"
#include "interrupt.h"
#include "program_capsules.h"
#include "workspace.h"

#include <string.h>

enum {
    IMAGE_FIELDS = 15,
    STEP_FIELDS = 22 + PQC_LAYOUT,
    CHAIN_FIELDS = 4,
    TABLES = 7,
    MAX_BUFFERS = 1 << 16,
    NONE = -1
};

static const char plan_name[] = "pytorch_quantization_c.program_plan";

/* A program, and everything that its steps point to. */
typedef struct {
    pqc_program program;
    PyObject *weights;
    pqc_step *step;
    pqc_chain_op *chain; /* those of all steps */
    int32_t *offset;
    ptrdiff_t *buffer_bytes;
    bool *is_written; /* for each buffer */
    ptrdiff_t buffers;
    pqc_arenas *arenas; /* shared with the plans that were made from this one */
} plan;

enum { HEADER = 64 }; /* in front of an arena, for its size */

static ptrdiff_t size_of(const char *arena)
{
    ptrdiff_t size;
    memcpy(&size, arena - HEADER, sizeof size);
    return size;
}

static void free_arena(char *arena)
{
    pqc_workspace_free(arena ? arena - HEADER : NULL);
}

/* Zeroed, so that bytes left by another program are never read. */
static char *new_arena(ptrdiff_t size)
{
    char *memory = pqc_workspace_allocate(HEADER + size);
    if (!memory)
        return NULL;
    memset(memory, 0, (size_t)(HEADER + size));
    memcpy(memory, &size, sizeof size);
    return memory + HEADER;
}

/* Takes a kept arena that is large enough; smaller ones are freed. */
static char *take_arena(pqc_arenas *arenas, ptrdiff_t size)
{
    char *arena;
    while ((arena = pqc_arenas_take(arenas)) && size_of(arena) < size)
        free_arena(arena);
    return arena ? arena : new_arena(size);
}

static void leave_arenas(pqc_arenas *arenas)
{
    if (!arenas || atomic_fetch_sub(&arenas->users, 1) > 1)
        return;
    char *arena;
    while ((arena = pqc_arenas_take(arenas)))
        free_arena(arena);
    PyMem_RawFree(arenas);
}

/* Shares the arenas of another plan, or makes new ones. */
static int join_arenas(plan *p, PyObject *other)
{
    if (other != Py_None) {
        plan *given = PyCapsule_GetPointer(other, plan_name);
        p->arenas = given ? given->arenas : NULL;
    } else if (!(p->arenas = PyMem_RawCalloc(1, sizeof *p->arenas)))
        PyErr_NoMemory();
    if (p->arenas)
        atomic_fetch_add(&p->arenas->users, 1);
    return p->arenas ? 0 : -1;
}

static void clear_plan(plan *p)
{
    leave_arenas(p->arenas);
    Py_XDECREF(p->weights);
    PyMem_RawFree(p->step);
    PyMem_RawFree(p->chain);
    PyMem_RawFree(p->offset);
    PyMem_RawFree(p->buffer_bytes);
    PyMem_RawFree(p->is_written);
    PyMem_RawFree(p);
}

static void free_plan(PyObject *capsule)
{
    plan *p = PyCapsule_GetPointer(capsule, plan_name);
    if (p)
        clear_plan(p);
}

static int refuse(const char *why, ptrdiff_t number)
{
    PyErr_Format(PyExc_ValueError, "Expected steps of a program: %s, in number %zd", why, number);
    return -1;
}

/* The arguments of program_plan, as pointers into its tables. */
typedef struct {
    const int64_t *images, *steps, *buffers, *chains;
    const float *ranges, *clamps, *numbers;
    ptrdiff_t image_count, step_count, chain_count;
} description;

static void get_image(const int64_t *f, const float *range, pqc_image *image)
{
    *image = (pqc_image){.nchw = f[1] != 0,
                         .buffer = f[2],
                         .offset = f[3],
                         .n = f[4],
                         .h = f[5],
                         .w = f[6],
                         .c = f[7],
                         .top = f[8],
                         .bottom = f[9],
                         .left = f[10],
                         .right = f[11]};
    image->codes = (pqc_pixels){.content = f[0] >= 0 && f[0] <= PQC_S16_CODES ? (pqc_content)f[0]
                                                                              : PQC_NOTHING,
                                .pixel = f[12],
                                .mul = range[0],
                                .div = range[1],
                                .lo = range[2],
                                .hi = range[3],
                                .zero = (int32_t)f[13],
                                .refuses_negative = f[14] != 0};
}

/* Reads and checks image number `number` of the table; -1 with an exception. */
static int take_image(const plan *p, const description *d, int64_t number, ptrdiff_t step,
                      pqc_image *image)
{
    if (number < 0 || number >= d->image_count)
        return refuse("no such image", step);
    get_image(d->images + number * IMAGE_FIELDS, d->ranges + 4 * number, image);
    const char *why = pqc_image_check(image, p->buffer_bytes, p->buffers);
    return why ? refuse(why, step) : 0;
}

static pqc_window window_of(const int64_t *f)
{
    return (pqc_window){f[0], f[1], f[2], f[3]};
}

/* Reads the operands beyond input and residual, and the step's range of operations. */
static int get_chain(plan *p, const description *d, ptrdiff_t number)
{
    const int64_t *f = d->steps + number * STEP_FIELDS;
    pqc_step *s = &p->step[number];
    for (int i = 0; i < PQC_MAX_OPERANDS - 2; i++)
        if (f[17 + i] != NONE && take_image(p, d, f[17 + i], number, &s->more[i]) < 0)
            return -1;
    if (f[19] < 0 || f[20] < 0 || f[19] > d->chain_count || f[20] > d->chain_count - f[19])
        return refuse("no such operations", number);
    s->chain = p->chain + f[19];
    s->chain_length = f[20];
    return 0;
}

/* Reads the codes that results pass through: those of an image, whose other fields are ignored. */
static int get_between(plan *p, const description *d, ptrdiff_t number)
{
    pqc_image image;
    int64_t at = d->steps[number * STEP_FIELDS + 21];
    if (at == NONE)
        return 0;
    if (take_image(p, d, at, number, &image) < 0)
        return -1;
    p->step[number].between = image.codes;
    return image.codes.content == PQC_FLOATS ? refuse("codes expected", number) : 0;
}

/* Sets the weights of a layer: packed ones, or the cells of a recurrent layer. */
static int get_weights(plan *p, int64_t at, ptrdiff_t number)
{
    pqc_step *s = &p->step[number];
    if (at == NONE)
        return 0;
    if (at < 0 || at >= PyTuple_GET_SIZE(p->weights))
        return refuse("no such weights", number);
    if (s->kind == PQC_STEP_RECURRENT) {
        s->recurrent = pqc_program_states_of(PyTuple_GET_ITEM(p->weights, at));
        return s->recurrent ? 0 : -1;
    }
    s->weights = pqc_program_weights_of(PyTuple_GET_ITEM(p->weights, at));
    return s->weights ? 0 : -1;
}

/* Sets the transformed weights of a convolution that runs by Winograd's algorithm. */
static int get_winograd(plan *p, const description *d, ptrdiff_t number)
{
    int64_t at = d->steps[number * STEP_FIELDS + 15];
    p->step[number].winograd = pqc_program_winograd_of(PyTuple_GET_ITEM(p->weights, at));
    return p->step[number].winograd ? 0 : -1;
}

static int get_step(plan *p, const description *d, ptrdiff_t number)
{
    const int64_t *f = d->steps + number * STEP_FIELDS;
    const float *clamps = d->clamps + 4 * number;
    pqc_step *s = &p->step[number];
    if (f[0] < 0 || f[0] >= PQC_STEPS || f[3] < 1 || f[3] > PQC_MAX_OUTPUTS)
        return refuse("an unknown kind", number);
    *s = (pqc_step){.kind = (pqc_step_kind)f[0],
                    .outputs = (int)f[3],
                    .y = window_of(f + 7),
                    .x = window_of(f + 11),
                    .hard_swish = f[16] != 0,
                    .low = clamps[0],
                    .high = clamps[1],
                    .second_low = clamps[2],
                    .second_high = clamps[3]};
    memcpy(&s->epsilon, f + 7, sizeof s->epsilon);
    memcpy(s->layout, f + 22, sizeof s->layout);
    if (take_image(p, d, f[1], number, &s->input) < 0 ||
        (f[2] != NONE && take_image(p, d, f[2], number, &s->residual) < 0))
        return -1;
    for (int i = 0; i < s->outputs; i++) {
        if (take_image(p, d, f[4 + i], number, &s->output[i]) < 0)
            return -1;
        p->is_written[s->output[i].buffer] = true;
    }
    if (get_chain(p, d, number) < 0 || get_between(p, d, number) < 0)
        return -1;
    return get_weights(p, f[15], number);
}

static int get_steps(plan *p, const description *d)
{
    ptrdiff_t offsets = 0;
    for (ptrdiff_t i = 0; i < d->step_count; i++) {
        if (get_step(p, d, i) < 0)
            return -1;
        if (p->step[i].kind == PQC_STEP_CONV && !p->step[i].weights)
            return refuse("weights expected", i);
        offsets += pqc_step_offsets(&p->step[i]);
    }
    p->offset = PyMem_RawMalloc((size_t)offsets * sizeof *p->offset);
    if (!p->offset) {
        PyErr_NoMemory();
        return -1;
    }
    for (ptrdiff_t i = 0, at = 0; i < d->step_count; i++) {
        p->step[i].offset = p->offset + at;
        at += pqc_step_offsets(&p->step[i]);
        const char *why = pqc_step_prepare(&p->step[i]);
        if (why)
            return refuse(why, i);
        pqc_step_limit(&p->step[i], p->buffer_bytes, &p->program.arena_bytes);
        if (p->step[i].patches.tiles && get_winograd(p, d, i) < 0)
            return -1;
    }
    return 0;
}

static int get_operations(plan *p, const description *d)
{
    p->chain = PyMem_RawCalloc((size_t)d->chain_count, sizeof *p->chain);
    if (!p->chain) {
        PyErr_NoMemory();
        return -1;
    }
    for (ptrdiff_t i = 0; i < d->chain_count; i++) {
        const int64_t *f = d->chains + i * CHAIN_FIELDS;
        if (f[0] < 0 || f[0] >= PQC_CHAIN_KINDS)
            return refuse("an unknown operation", i);
        p->chain[i] = (pqc_chain_op){.kind = (pqc_chain_kind)f[0],
                                     .a = (int)pqc_clamp(f[1], -1, PQC_MAX_REGISTERS),
                                     .b = (int)pqc_clamp(f[2], -1, PQC_MAX_REGISTERS),
                                     .to = (int)pqc_clamp(f[3], -1, PQC_MAX_REGISTERS),
                                     .number = d->numbers[i]};
    }
    return 0;
}

static int get_buffers(plan *p, const description *d, ptrdiff_t count)
{
    p->buffers = count;
    p->step = PyMem_RawCalloc((size_t)d->step_count, sizeof *p->step);
    p->buffer_bytes = PyMem_RawCalloc((size_t)count, sizeof *p->buffer_bytes);
    p->is_written = PyMem_RawCalloc((size_t)count, sizeof *p->is_written);
    if (!p->step || !p->buffer_bytes || !p->is_written) {
        PyErr_NoMemory();
        return -1;
    }
    for (ptrdiff_t i = 0; i < count; i++)
        p->buffer_bytes[i] = pqc_clamp(d->buffers[i], 0, (ptrdiff_t)1 << 50);
    p->program =
        (pqc_program){.step = p->step, .steps = d->step_count, .arena_bytes = p->buffer_bytes[0]};
    return 0;
}

static PyObject *new_plan(const description *d, ptrdiff_t buffers, PyObject *weights,
                          PyObject *other)
{
    plan *p = PyMem_RawCalloc(1, sizeof *p);
    if (!p)
        return PyErr_NoMemory();
    p->weights = Py_NewRef(weights);
    PyObject *capsule = NULL;
    if (join_arenas(p, other) == 0 && get_buffers(p, d, buffers) == 0 &&
        get_operations(p, d) == 0 && get_steps(p, d) == 0) {
        pqc_program_link(&p->program);
        capsule = PyCapsule_New(p, plan_name, free_plan);
    }
    if (!capsule)
        clear_plan(p);
    return capsule;
}

/* Checks that the tables (images, ranges, steps, clamps, buffers, chains, numbers) have matching numbers of rows. */
static int check_tables(PyArrayObject *const *t)
{
    npy_intp images = PyArray_DIM(t[0], 0), steps = PyArray_DIM(t[2], 0),
             buffers = PyArray_SIZE(t[4]);
    if (PyArray_DIM(t[0], 1) == IMAGE_FIELDS && PyArray_DIM(t[1], 0) == images &&
        PyArray_DIM(t[1], 1) == 4 && PyArray_DIM(t[2], 1) == STEP_FIELDS &&
        PyArray_DIM(t[3], 0) == steps && PyArray_DIM(t[3], 1) == 4 && steps >= 1 && buffers >= 1 &&
        buffers <= MAX_BUFFERS && PyArray_DIM(t[5], 1) == CHAIN_FIELDS &&
        PyArray_SIZE(t[6]) == PyArray_DIM(t[5], 0))
        return 0;
    PyErr_SetString(PyExc_ValueError, "Expected tables of a program whose rows belong together");
    return -1;
}

PyDoc_STRVAR(
    program_plan_doc,
    "program_plan(images, ranges, steps, clamps, buffers, chains, numbers, weights, other=None, "
    "/)\n--\n\n"
    "Check the steps of a program (see graph/program/tables.py) and make them ready to be run, "
    "in memory that is shared with another plan of it.");

static PyObject *program_plan(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    static const char *const names[] = {"images",  "ranges", "steps",  "clamps",
                                        "buffers", "chains", "numbers"};
    static const int types[] = {NPY_INT64, NPY_FLOAT, NPY_INT64, NPY_FLOAT,
                                NPY_INT64, NPY_INT64, NPY_FLOAT};
    PyArrayObject *t[TABLES] = {NULL};
    PyObject *result = NULL;
    (void)self;
    if (pqc_check_count("program_plan", count, TABLES + 1, TABLES + 2) < 0)
        return NULL;
    if (!PyTuple_Check(args[TABLES])) {
        pqc_refuse(PyExc_TypeError, args[TABLES], "Expected `weights` to be a tuple");
        return NULL;
    }
    bool found = true;
    for (int i = 0; i < TABLES && found; i++)
        found =
            (t[i] = pqc_plain_array(args[i], names[i], types[i], i == 4 || i == 6 ? 1 : 2)) != NULL;
    if (found && check_tables(t) == 0) {
        description d = {.images = PyArray_DATA(t[0]),
                         .steps = PyArray_DATA(t[2]),
                         .buffers = PyArray_DATA(t[4]),
                         .chains = PyArray_DATA(t[5]),
                         .ranges = PyArray_DATA(t[1]),
                         .clamps = PyArray_DATA(t[3]),
                         .numbers = PyArray_DATA(t[6]),
                         .image_count = PyArray_DIM(t[0], 0),
                         .step_count = PyArray_DIM(t[2], 0),
                         .chain_count = PyArray_DIM(t[5], 0)};
        result = new_plan(&d, PyArray_SIZE(t[4]), args[TABLES],
                          count > TABLES + 1 ? args[TABLES + 1] : Py_None);
    }
    for (int i = 0; i < TABLES; i++)
        Py_XDECREF(t[i]);
    return result;
}

/* Sets the addresses of the buffers that are the caller's arrays; they follow the arena's. */
static int get_arrays(const plan *p, PyObject *arrays, char **buffers)
{
    if (!PyTuple_Check(arrays) || PyTuple_GET_SIZE(arrays) != p->buffers - 1) {
        pqc_refuse(PyExc_ValueError, arrays, "Expected `arrays` to be a tuple of %zd",
                   p->buffers - 1);
        return -1;
    }
    for (ptrdiff_t i = 1; i < p->buffers; i++) {
        PyArrayObject *array = (PyArrayObject *)PyTuple_GET_ITEM(arrays, i - 1);
        if (!PyArray_Check((PyObject *)array) || !PyArray_CHKFLAGS(array, NPY_ARRAY_CARRAY_RO) ||
            PyDataType_REFCHK(PyArray_DESCR(array)) || PyArray_NBYTES(array) < p->buffer_bytes[i] ||
            (p->is_written[i] && !PyArray_ISWRITEABLE(array))) {
            PyErr_Format(PyExc_ValueError, "Expected array %zd of at least %zd bytes", i - 1,
                         p->buffer_bytes[i]);
            return -1;
        }
        buffers[i] = PyArray_DATA(array);
        if (pqc_bytes_to(buffers[i], sizeof(float)) != 0) {
            PyErr_Format(PyExc_ValueError, "Expected array %zd to be aligned", i - 1);
            return -1;
        }
    }
    return 0;
}

/* Checks the int64 array, if one is given, that receives the nanoseconds of each step. */
static int get_times(const plan *p, PyObject *object, int64_t **times)
{
    *times = NULL;
    if (object == Py_None)
        return 0;
    PyArrayObject *array = pqc_plain_array(object, "times", NPY_INT64, 1);
    if (!array)
        return -1;
    if (PyArray_SIZE(array) < p->program.steps || !PyArray_ISWRITEABLE(array))
        PyErr_Format(PyExc_ValueError, "Expected `times` of %zd elements", p->program.steps);
    else
        *times = PyArray_DATA(array);
    Py_DECREF(array);
    return *times ? 0 : -1;
}

static PyObject *run_plan(plan *p, char **buffers, int64_t *times)
{
    pqc_program *program = &p->program;
    buffers[0] = take_arena(p->arenas, program->arena_bytes);
    if (!buffers[0])
        return PyErr_NoMemory();
    PyThreadState *state = PyEval_SaveThread();
    pqc_program_call call = {times, pqc_interrupted, &state};
    unsigned flags = pqc_program_run(program, buffers, &call);
    PyEval_RestoreThread(state);
    if (!pqc_arenas_keep(p->arenas, buffers[0]))
        free_arena(buffers[0]);
    return flags & PQC_PROGRAM_STOPPED ? NULL : PyLong_FromUnsignedLong(flags);
}

PyDoc_STRVAR(program_run_doc,
             "program_run(plan, arrays, times, /)\n--\n\n"
             "Run a plan on the arrays of its buffers but the first.  Not 0: the "
             "results are meaningless, as some value "
             "was NaN (1), negative where that is refused (2), or an index out of range (4).  "
             "`times`: None, "
             "or int64, gets nanoseconds.");

static PyObject *program_run(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *result = NULL;
    int64_t *times;
    (void)self;
    if (pqc_check_count("program_run", count, 3, 3) < 0)
        return NULL;
    plan *p = PyCapsule_GetPointer(args[0], plan_name);
    if (!p)
        return NULL;
    char **buffers = PyMem_RawMalloc((size_t)p->buffers * sizeof *buffers);
    if (!buffers)
        return PyErr_NoMemory();
    pqc_float_mode mode = pqc_set_default_float_mode();
    if (get_arrays(p, args[1], buffers) == 0 && get_times(p, args[2], &times) == 0)
        result = run_plan(p, buffers, times);
    pqc_restore_float_mode(mode);
    PyMem_RawFree(buffers);
    return result;
}

PyDoc_STRVAR(in_default_float_mode_doc,
             "in_default_float_mode(function, /)\n--\n\n"
             "Call a function where floats are rounded to nearest and subnormals kept, whatever "
             "mode the thread is in.");

static PyObject *in_default_float_mode(PyObject *self, PyObject *function)
{
    (void)self;
    pqc_float_mode mode = pqc_set_default_float_mode();
    PyObject *result = PyObject_CallNoArgs(function);
    pqc_restore_float_mode(mode);
    return result;
}

PyMethodDef pqc_program_methods[] = {
    {"in_default_float_mode", in_default_float_mode, METH_O, in_default_float_mode_doc},
    {"program_plan", (PyCFunction)(void (*)(void))program_plan, METH_FASTCALL, program_plan_doc},
    {"program_run", (PyCFunction)(void (*)(void))program_run, METH_FASTCALL, program_run_doc},
    {NULL, NULL, 0, NULL},
};

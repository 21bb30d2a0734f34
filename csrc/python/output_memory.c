/* A NumPy memory handler for results: cache-line aligned, with large blocks kept for the next result of similar size. */
#include "output_memory.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { LINE = 64, ALIGNED = 1 << 14, KEPT = 4 };
#define MIN_KEPT ((size_t)1 << 20)
#define MAX_KEPT ((size_t)64 << 20)
#define HUGE_PAGE ((size_t)2 << 20)

/* Header of a block, in the cache line before it. */
typedef struct {
    void *allocated;
    size_t bytes;
} header;

static _Atomic(void *) kept[KEPT];
static atomic_size_t kept_bytes;

static header *header_of(void *block)
{
    return (header *)(void *)((char *)block - LINE);
}

static void release(void *block)
{
    free(header_of(block)->allocated);
}

static void *allocate(size_t bytes)
{
    if (bytes > PTRDIFF_MAX - 2 * LINE)
        return NULL;
    char *allocated = malloc(bytes + 2 * LINE);
    if (!allocated)
        return NULL;
#ifdef __linux__
    /* huge pages, as NumPy does: one page fault per 2 MiB instead of one per 4 KiB */
    if (bytes >= 2 * HUGE_PAGE) {
        uintptr_t first = ((uintptr_t)allocated + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
        madvise((void *)first, bytes - HUGE_PAGE, MADV_HUGEPAGE);
    }
#endif
    char *block = (char *)(((uintptr_t)allocated + 2 * LINE - 1) & ~(uintptr_t)(LINE - 1));
    *header_of(block) = (header){allocated, bytes};
    return block;
}

/* Keeps a freed block; false if there is no room. */
static bool keep(void *block)
{
    size_t bytes = header_of(block)->bytes;
    if (bytes < MIN_KEPT || atomic_fetch_add(&kept_bytes, bytes) + bytes > MAX_KEPT) {
        if (bytes >= MIN_KEPT)
            atomic_fetch_sub(&kept_bytes, bytes);
        return false;
    }
    for (int i = 0; i < KEPT; i++) {
        void *none = NULL;
        if (atomic_compare_exchange_strong(&kept[i], &none, block))
            return true;
    }
    atomic_fetch_sub(&kept_bytes, bytes);
    return false;
}

/* Takes a kept block of at least this many bytes, and at most a quarter more; NULL if there is none. */
static void *take(size_t bytes)
{
    for (int i = 0; i < KEPT; i++) {
        void *block = atomic_exchange(&kept[i], NULL);
        if (!block)
            continue;
        size_t there = header_of(block)->bytes;
        atomic_fetch_sub(&kept_bytes, there);
        if (there >= bytes && there - bytes <= bytes / 4)
            return block;
        if (!keep(block))
            release(block);
    }
    return NULL;
}

/* Frees all kept blocks, to make room for other sizes. */
static void release_kept(void)
{
    for (int i = 0; i < KEPT; i++) {
        void *block = atomic_exchange(&kept[i], NULL);
        if (block) {
            atomic_fetch_sub(&kept_bytes, header_of(block)->bytes);
            release(block);
        }
    }
}

static void *handler_malloc(void *context, size_t bytes)
{
    (void)context;
    void *block = bytes >= MIN_KEPT ? take(bytes) : NULL;
    if (!block && !(block = allocate(bytes))) {
        release_kept();
        block = allocate(bytes);
    }
    return block;
}

static void *handler_calloc(void *context, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return NULL;
    void *block = handler_malloc(context, count * size);
    return block ? memset(block, 0, count * size) : NULL;
}

static void handler_free(void *context, void *block, size_t bytes)
{
    (void)context;
    (void)bytes;
    if (!block || keep(block))
        return;
    if (header_of(block)->bytes >= MIN_KEPT && header_of(block)->bytes <= MAX_KEPT) {
        release_kept(); /* this block is the newest and likeliest to be reused */
        if (keep(block))
            return;
    }
    release(block);
}

static void *handler_realloc(void *context, void *block, size_t bytes)
{
    void *made = handler_malloc(context, bytes);
    if (made && block) {
        size_t before = header_of(block)->bytes;
        memcpy(made, block, before < bytes ? before : bytes);
        handler_free(context, block, before);
    }
    return made;
}

static PyDataMem_Handler handler = {
    "pytorch_quantization_c",
    1,
    {NULL, handler_malloc, handler_calloc, handler_realloc, handler_free}};

PyArrayObject *pqc_new_array(PyArray_Descr *descr, int ndim, const npy_intp *shape)
{
    npy_intp bytes = PyArray_MultiplyList(shape, ndim) * PyDataType_ELSIZE(descr);
    static PyObject *ours; /* never freed, because arrays may outlive the module */
    PyObject *current = bytes < ALIGNED ? NULL : PyDataMem_GetHandler();
    if (bytes >= ALIGNED && !current)
        goto failed;
    bool is_default = current == PyDataMem_DefaultHandler;
    Py_XDECREF(current);
    if (!is_default)
        return (PyArrayObject *)PyArray_NewFromDescr(&PyArray_Type, descr, ndim, shape, NULL, NULL,
                                                     0, NULL);
    if (!ours && !(ours = PyCapsule_New(&handler, "mem_handler", NULL)))
        goto failed;
    PyObject *before = PyDataMem_SetHandler(ours);
    if (!before)
        goto failed;
    PyObject *made = PyArray_NewFromDescr(&PyArray_Type, descr, ndim, shape, NULL, NULL, 0, NULL);
    PyObject *set = PyDataMem_SetHandler(before);
    Py_DECREF(before);
    if (!set)
        Py_CLEAR(made);
    Py_XDECREF(set);
    return (PyArrayObject *)made;
failed:
    Py_DECREF(descr);
    return NULL;
}

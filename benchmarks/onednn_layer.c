/* One quantised layer in oneDNN (3.0 or later): float32 in and out, the input's step known beforehand.  layer_onednn.py
 * compiles this file; a process makes its layers and ends, so nothing is freed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>

#if DNNL_VERSION_MAJOR < 3
#error "oneDNN before 3.0 has other attributes"
#endif

typedef struct {
    int64_t batch, inputs, outputs, kernel, size, stride, padding, groups, rows;
    int64_t is_unsigned; /* bytes are q + 128 */
} shape;

typedef struct {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[8];
    int count;
} step;

typedef struct {
    step steps[3]; /* quantise and lay out, multiply, lay out */
    int count;
    const char *implementation;
} layer;

static dnnl_engine_t engine;
static dnnl_stream_t stream;
static dnnl_status_t failed;

static void check(dnnl_status_t status)
{
    if (!failed)
        failed = status;
}

static dnnl_memory_desc_t description(int ndims, const int64_t *dims, dnnl_data_type_t type,
                                      dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t made = NULL;
    check(dnnl_memory_desc_create_with_tag(&made, ndims, dims, type, tag));
    return made;
}

static dnnl_memory_t memory(const_dnnl_memory_desc_t desc, const void *data)
{
    dnnl_memory_t made = NULL;
    check(dnnl_memory_create(&made, desc, engine, data ? (void *)data : DNNL_MEMORY_ALLOCATE));
    return made;
}

static dnnl_memory_t vector(int64_t n, dnnl_data_type_t type, const void *data)
{
    dnnl_dims_t dims = {n};
    return memory(description(1, dims, type, dnnl_a), data);
}

static void add(step *s, int name, dnnl_memory_t value)
{
    s->args[s->count++] = (dnnl_exec_arg_t){name, value};
}

static void run(const step *s)
{
    check(dnnl_primitive_execute(s->primitive, stream, s->count, s->args));
}

/* A step that copies `from` into the layout of `to`; with `scale`, to = from / scale + zero. */
static step reorder(dnnl_memory_t from, dnnl_memory_t to, const float *scale, const int32_t *zero)
{
    const_dnnl_memory_desc_t from_desc = NULL, to_desc = NULL;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t desc = NULL;
    step made = {0};
    check(dnnl_memory_get_memory_desc(from, &from_desc));
    check(dnnl_memory_get_memory_desc(to, &to_desc));
    check(dnnl_primitive_attr_create(&attr));
    if (scale) {
        check(dnnl_primitive_attr_set_scales_mask(attr, DNNL_ARG_DST, 0));
        add(&made, DNNL_ARG_ATTR_SCALES | DNNL_ARG_DST, vector(1, dnnl_f32, scale));
    }
    if (zero) {
        check(dnnl_primitive_attr_set_zero_points_mask(attr, DNNL_ARG_DST, 0));
        add(&made, DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_DST, vector(1, dnnl_s32, zero));
    }
    check(dnnl_reorder_primitive_desc_create(&desc, from_desc, engine, to_desc, engine, attr));
    check(dnnl_primitive_create(&made.primitive, desc));
    add(&made, DNNL_ARG_FROM, from);
    add(&made, DNNL_ARG_TO, to);
    return made;
}

static dnnl_primitive_desc_t convolution(const shape *s, const int64_t *x, const int64_t *w,
                                         const int64_t *y, dnnl_data_type_t bytes,
                                         dnnl_primitive_attr_t attr)
{
    dnnl_dims_t strides = {s->stride, s->stride}, dilations = {0, 0},
                pads = {s->padding, s->padding}, bias = {s->outputs};
    dnnl_primitive_desc_t desc = NULL;
    check(dnnl_convolution_forward_primitive_desc_create(
        &desc, engine, dnnl_forward_inference, dnnl_convolution_direct,
        description(4, x, bytes, dnnl_format_tag_any),
        description(s->groups > 1 ? 5 : 4, w, dnnl_s8, dnnl_format_tag_any),
        description(1, bias, dnnl_f32, dnnl_a), description(4, y, dnnl_f32, dnnl_format_tag_any),
        strides, dilations, pads, pads, attr));
    return desc;
}

static dnnl_primitive_desc_t product(const shape *s, const int64_t *x, const int64_t *w,
                                     const int64_t *y, dnnl_data_type_t bytes,
                                     dnnl_primitive_attr_t attr)
{
    dnnl_dims_t bias = {1, s->outputs};
    dnnl_primitive_desc_t desc = NULL;
    check(dnnl_matmul_primitive_desc_create(
        &desc, engine, description(2, x, bytes, dnnl_format_tag_any),
        description(2, w, dnnl_s8, dnnl_format_tag_any), description(2, bias, dnnl_f32, dnnl_ab),
        description(2, y, dnnl_f32, dnnl_ab), attr));
    return desc;
}

/* Descriptions of the caller's arrays, as they lie. */
typedef struct {
    dnnl_memory_desc_t x, y, w, bias;
    dnnl_dims_t x_dims, y_dims, w_dims;
    int w_mask; /* the axes of w that have a scale each */
} arrays;

static arrays arrays_of(const shape *s)
{
    if (s->rows) {
        arrays a = {.x_dims = {s->rows, s->inputs},
                    .y_dims = {s->rows, s->outputs},
                    .w_dims = {s->inputs, s->outputs}};
        a.x = description(2, a.x_dims, dnnl_f32, dnnl_ab);
        a.y = description(2, a.y_dims, dnnl_f32, dnnl_ab);
        a.w = description(2, a.w_dims, dnnl_s8, dnnl_ba);
        a.bias = description(2, (dnnl_dims_t){1, s->outputs}, dnnl_f32, dnnl_ab);
        a.w_mask = 2;
        return a;
    }
    int64_t out = (s->size + 2 * s->padding - s->kernel) / s->stride + 1, k = s->kernel,
            g = s->groups;
    arrays a = {.x_dims = {s->batch, s->inputs, s->size, s->size},
                .y_dims = {s->batch, s->outputs, out, out}};
    dnnl_dims_t dense = {s->outputs, s->inputs, k, k},
                grouped = {g, s->outputs / g, s->inputs / g, k, k};
    memcpy(a.w_dims, g > 1 ? grouped : dense, sizeof a.w_dims);
    a.x = description(4, a.x_dims, dnnl_f32, dnnl_abcd);
    a.y = description(4, a.y_dims, dnnl_f32, dnnl_abcd);
    a.w = g > 1 ? description(5, a.w_dims, dnnl_s8, dnnl_abcde)
                : description(4, a.w_dims, dnnl_s8, dnnl_abcd);
    a.bias = description(1, (dnnl_dims_t){s->outputs}, dnnl_f32, dnnl_a);
    a.w_mask = g > 1 ? 3 : 1;
    return a;
}

static dnnl_primitive_attr_t scaled(const shape *s, int w_mask)
{
    dnnl_primitive_attr_t attr = NULL;
    check(dnnl_primitive_attr_create(&attr));
    check(dnnl_primitive_attr_set_scales_mask(attr, DNNL_ARG_SRC, 0));
    check(dnnl_primitive_attr_set_scales_mask(attr, DNNL_ARG_WEIGHTS, w_mask));
    if (s->is_unsigned)
        check(dnnl_primitive_attr_set_zero_points_mask(attr, DNNL_ARG_SRC, 0));
    return attr;
}

/* Memory in the layout that the primitive wants. */
static dnnl_memory_t wanted(dnnl_primitive_desc_t desc, dnnl_query_t what)
{
    return memory(dnnl_primitive_desc_query_md(desc, what, 0), NULL);
}

/* A layer from x to y; weights as the array lies, step_w one for each output channel.  NULL if oneDNN refuses. */
layer *onednn_new(const shape *s, const float *x, float *y, const int8_t *w, const float *step_w,
                  const float *bias, const float *step_x)
{
    static const int32_t zero = 128;
    layer *made = calloc(1, sizeof *made);
    failed = dnnl_success;
    if (!engine) {
        check(dnnl_engine_create(&engine, dnnl_cpu, 0));
        check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
    }
    arrays a = arrays_of(s);
    dnnl_data_type_t bytes = s->is_unsigned ? dnnl_u8 : dnnl_s8;
    dnnl_primitive_attr_t attr = scaled(s, a.w_mask);
    dnnl_primitive_desc_t desc =
        (s->rows ? product : convolution)(s, a.x_dims, a.w_dims, a.y_dims, bytes, attr);
    if (failed)
        return NULL;
    check(dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0,
                                    (void *)&made->implementation));

    dnnl_memory_t x_bytes = wanted(desc, dnnl_query_src_md),
                  w_packed = wanted(desc, dnnl_query_weights_md);
    dnnl_memory_t y_plain = memory(a.y, y), y_made = y_plain;
    int as_wanted =
        dnnl_memory_desc_equal(dnnl_primitive_desc_query_md(desc, dnnl_query_dst_md, 0), a.y);
    if (!as_wanted)
        y_made = wanted(desc, dnnl_query_dst_md);
    step pack = reorder(memory(a.w, w), w_packed, NULL, NULL), *multiply = &made->steps[1];
    made->steps[0] = reorder(memory(a.x, x), x_bytes, step_x, s->is_unsigned ? &zero : NULL);
    check(dnnl_primitive_create(&multiply->primitive, desc));
    add(multiply, DNNL_ARG_SRC, x_bytes);
    add(multiply, DNNL_ARG_WEIGHTS, w_packed);
    add(multiply, DNNL_ARG_BIAS, memory(a.bias, bias));
    add(multiply, DNNL_ARG_DST, y_made);
    add(multiply, DNNL_ARG_ATTR_SCALES | DNNL_ARG_SRC, vector(1, dnnl_f32, step_x));
    add(multiply, DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, vector(s->outputs, dnnl_f32, step_w));
    if (s->is_unsigned)
        add(multiply, DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_SRC, vector(1, dnnl_s32, &zero));
    made->count = 2;
    if (!as_wanted)
        made->steps[made->count++] = reorder(y_made, y_plain, NULL, NULL);
    if (failed)
        return NULL;
    run(&pack);
    return failed ? NULL : made;
}

int onednn_run(const layer *l)
{
    for (int i = 0; i < l->count; i++)
        run(&l->steps[i]);
    check(dnnl_stream_wait(stream));
    return failed;
}

const char *onednn_implementation(const layer *l)
{
    return l->implementation;
}

/* Linear layers with 4-bit weights: float32 rows are quantised to int8 and multiplied group by group with scaled u4
 * weights. */
#include "linear_u4.h"
#include "cache_sizes.h"
#include "dispatch.h"
#include "parallel.h"
#include "reduce.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum { QUANTIZE_GRAIN = 1 << 14, PRODUCT_GRAIN = 1 << 20, PACK_GRAIN = 1 << 16 };

/* Loading a weight costs as much as this many products. */
enum { FETCH = 4 };

/* Weight panels that a block of rows is multiplied with at a time. */
enum { AT_ONCE = 2 };

/* From this many rows AMX, with its tiles of 16 rows, is faster.  In short groups, storing a group's sums from the
 * tiles takes longer than its products. */
enum { SIDE = 16, MIN_AMX_ROWS = 8, MIN_AMX_ROWS_SHORT = 48 };

/* The rows are processed in parts that stay in L2 while the weights pass by.  A part is divided into blocks of nearly
 * equal numbers of rows. */
typedef struct {
    const pqc_u4_weights *w;
    const pqc_u4_call *call;
    float amax; /* amax of all of x, if it is computed here */
    pqc_gemm_s8u4_fn *gemm;
    ptrdiff_t amx_k; /* 0: not AMX */
    ptrdiff_t first, rows, blocks;
    double *row_scale;
    int32_t *x_sums, *starts;
    int8_t *x;
    atomic_uint flags;
} work;

static ptrdiff_t padded_in(const pqc_u4_weights *w)
{
    return w->groups * w->length;
}

/* Rows per part: a multiple of both block sizes. */
static ptrdiff_t most_rows(const pqc_u4_weights *w, ptrdiff_t rows)
{
    enum { BLOCKS = 3 * PQC_U4_AMX_MR };
    ptrdiff_t fit = PQC_L2_LINEAR_ROWS / padded_in(w) / BLOCKS * BLOCKS;
    return pqc_min(rows, pqc_max(fit, BLOCKS));
}

/* Rows rounded up to whole tiles. */
static ptrdiff_t padded_rows(ptrdiff_t rows)
{
    return pqc_round_up(rows, PQC_U4_AMX_MR);
}

ptrdiff_t pqc_linear_u4_workspace(const pqc_u4_weights *w, ptrdiff_t rows)
{
    ptrdiff_t most = most_rows(w, rows);
    return pqc_line_aligned(most * (ptrdiff_t)sizeof(double)) +
           2 * pqc_line_aligned(most * w->groups * (ptrdiff_t)sizeof(int32_t)) +
           padded_rows(most) * pqc_line_aligned(padded_in(w));
}

static void lay_out(work *k)
{
    char *at = k->call->workspace;
    ptrdiff_t most = most_rows(k->w, k->call->rows);
    k->row_scale = (double *)(void *)at;
    at += pqc_line_aligned(most * (ptrdiff_t)sizeof(double));
    ptrdiff_t sums = pqc_line_aligned(most * k->w->groups * (ptrdiff_t)sizeof(int32_t));
    k->x_sums = (int32_t *)(void *)at;
    k->starts = (int32_t *)(void *)(at + sums);
    k->x = (int8_t *)at + 2 * sums;
}

/* A block: its first row in the part, its number of rows, and where its codes go. */
typedef struct {
    ptrdiff_t row;
    int rows;
    int8_t *x;
} block;

static block block_of(const work *k, ptrdiff_t i)
{
    ptrdiff_t row = pqc_part_begin(k->rows, k->blocks, i);
    ptrdiff_t place = k->amx_k ? i * PQC_U4_AMX_MR : row;
    return (block){row, (int)(pqc_part_begin(k->rows, k->blocks, i + 1) - row),
                   k->x + place * padded_in(k->w)};
}

static int32_t levels_of(const pqc_u4_call *call)
{
    return (1 << call->format.num_bits) - 1;
}

/* Sets the quantiser of a row and its scale. */
static unsigned set_quant(const work *k, ptrdiff_t row, pqc_u8_quant *quant, float *div)
{
    const pqc_u4_call *call = k->call;
    if (call->two_ended) {
        *quant = (pqc_u8_quant){.mul = call->scale,
                                .lo = (float)-call->x_zero,
                                .hi = (float)(levels_of(call) - call->x_zero),
                                .zero = call->x_zero};
        *div = call->scale;
        return isfinite(call->scale) && call->scale > 0 ? 0 : PQC_U4_SCALE;
    }
    float amax = call->amax     ? call->amax[call->by_row ? row : 0]
                 : call->by_row ? pqc.amax_f32(call->x + row * k->w->in, k->w->in)
                                : k->amax;
    if (!isfinite(amax) || amax < 0)
        return PQC_U4_AMAX;
    pqc_int_quant q = pqc_int_quant_init(amax, call->format);
    *quant = pqc_u8_quant_of(q, call->format);
    *div = q.div;
    return isfinite(q.mul) ? 0 : PQC_U4_SCALE;
}

/* Where codes k to k + 3 of a row are packed. */
static int8_t *place_of(const work *w, block b, ptrdiff_t row, ptrdiff_t k)
{
    if (w->amx_k == 0)
        return b.x + b.rows * k + 4 * row;
    ptrdiff_t tile = row / SIDE * padded_in(w->w) + k / w->amx_k * w->amx_k;
    return b.x + SIDE * tile + row % SIDE * w->amx_k + k % w->amx_k;
}

/* Packs signed codes [k, k + n) of a row from bytes biased by 128, and adds them to the sums of their groups. */
static void interleave(const work *w, const uint8_t *bytes, ptrdiff_t k, ptrdiff_t n, block b,
                       ptrdiff_t row)
{
    int32_t *x_sums = w->x_sums + b.row * w->w->groups + row;
    for (ptrdiff_t i = 0; i < n; i += 4) {
        uint32_t four;
        memcpy(&four, bytes + i, 4);
        four ^= 0x80808080u;
        memcpy(place_of(w, b, row, k + i), &four, 4);
    }
    if (w->amx_k != 0)
        return;
    for (ptrdiff_t i = 0, end; i < n; i = end) {
        ptrdiff_t group = (k + i) / w->w->length;
        int32_t sum = 0;
        end = pqc_min(n, (group + 1) * w->w->length - k);
        for (ptrdiff_t j = i; j < end; j++)
            sum += bytes[j];
        x_sums[group * b.rows] += sum - 128 * (int32_t)(end - i);
    }
}

static unsigned quantize_row(const work *w, block b, ptrdiff_t row)
{
    const ptrdiff_t in = w->w->in, padded = padded_in(w->w);
    const float *x = w->call->x + (w->first + b.row + row) * in;
    pqc_u8_quant q = {0};
    float div = 1.0f;
    unsigned flags = set_quant(w, w->first + b.row + row, &q, &div);
    if (flags != 0)
        return flags;
    w->row_scale[b.row + row] = 1.0 / (double)div;
    for (ptrdiff_t k = 0; k < padded; k += PQC_BLOCK) {
        uint8_t bytes[PQC_BLOCK];
        ptrdiff_t n = pqc_min(padded - k, PQC_BLOCK), inside = pqc_clamp(in - k, 0, n);
        flags |=
            pqc.pack_u8(&(pqc_u8_rows){.x = x + k, .y = bytes, .rows = 1, .n = inside, .q = q});
        memset(bytes + inside, 128, (size_t)(n - inside));
        interleave(w, bytes, k, n, b, row);
    }
    return flags;
}

static void quantize_blocks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    work *w = context;
    unsigned flags = 0;
    for (ptrdiff_t i = begin; i < end; i++) {
        block b = block_of(w, i);
        memset(w->x_sums + b.row * w->w->groups, 0,
               (size_t)(b.rows * w->w->groups) * sizeof(int32_t));
        for (ptrdiff_t row = 0; row < b.rows; row++)
            flags |= quantize_row(w, b, row);
        for (ptrdiff_t at = b.row * w->w->groups; at < (b.row + b.rows) * w->w->groups; at++)
            w->starts[at] = (int32_t)(0u - (uint32_t)w->w->zero * (uint32_t)w->x_sums[at]);
    }
    if (flags != 0)
        atomic_fetch_or(&w->flags, flags);
}

/* True if the codes of the inputs have a zero point that the products must correct for. */
static bool has_zero(const pqc_u4_call *call)
{
    return call->two_ended ? call->x_zero != 128 : call->format.is_unsigned;
}

/* Multiplies block i with some panels. */
static void multiply(const work *k, ptrdiff_t i, ptrdiff_t panel, ptrdiff_t panels)
{
    const pqc_u4_weights *w = k->w;
    ptrdiff_t channel = panel * PQC_U4_NR, of_groups = channel * w->groups;
    block b = block_of(k, i);
    pqc_gemm_s8u4_params p = {.x = b.x,
                              .x_sums = k->x_sums + b.row * w->groups,
                              .starts = k->starts + b.row * w->groups,
                              .row_scale = k->row_scale + b.row,
                              .rows = b.rows,
                              .w = w->panels + panel * pqc_u4_panel_bytes(w->groups, w->length),
                              .groups = w->groups,
                              .length = w->length,
                              .zeros = w->zeros ? w->zeros + of_groups : NULL,
                              .zero = w->zero,
                              .weight_sums = has_zero(k->call) ? w->weight_sums + of_groups : NULL,
                              .x_zero = 128 - k->call->x_zero,
                              .inverse = w->inverse ? w->inverse + channel : NULL,
                              .channels = pqc_min(w->out - channel, panels * PQC_U4_NR),
                              .bias = k->call->bias ? k->call->bias + channel : NULL,
                              .y = k->call->y + (k->first + b.row) * w->out + channel,
                              .y_row = w->out};
    k->gemm(&p);
}

/* Tasks are numbered (pair of panels, block), block fastest, so that panels stay cached while the rows pass by. */
static void multiply_tasks(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const work *k = context;
    if (k->blocks == 1) {
        multiply(k, 0, begin, end - begin);
        return;
    }
    ptrdiff_t panels = pqc_u4_panels(k->w->out);
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t panel = i / k->blocks * AT_ONCE;
        multiply(k, i % k->blocks, panel, pqc_min(panels - panel, AT_ONCE));
    }
}

static void run_part(work *k)
{
    const pqc_u4_weights *w = k->w;
    ptrdiff_t panels = pqc_u4_panels(w->out);
    k->blocks = pqc_div_round_up(k->rows, k->amx_k ? PQC_U4_AMX_MR : PQC_U4_MR);
    pqc_parallel_tasks(k->blocks, k->rows * w->in, QUANTIZE_GRAIN, quantize_blocks, k);
    if (atomic_load(&k->flags) != 0)
        return;
    ptrdiff_t tasks = k->blocks == 1 ? panels : pqc_div_round_up(panels, AT_ONCE) * k->blocks;
    pqc_parallel_tasks(tasks, pqc_max(k->rows, FETCH) * panels * PQC_U4_NR * padded_in(w),
                       PRODUCT_GRAIN, multiply_tasks, k);
}

static void choose(work *k)
{
    /* read once: another thread may select other kernels */
    pqc_gemm_s8u4_fn *amx = pqc.gemm_s8u4_amx;
    ptrdiff_t amx_k = amx ? pqc_u4_amx_k(k->w->length) : 0;
    ptrdiff_t least = amx_k == 64 ? MIN_AMX_ROWS : MIN_AMX_ROWS_SHORT;
    k->amx_k = k->call->rows >= least ? amx_k : 0;
    k->gemm = k->amx_k ? amx : pqc.gemm_s8u4;
}

unsigned pqc_linear_u4_run(const pqc_u4_weights *w, const pqc_u4_call *call)
{
    work k = {.w = w, .call = call};
    ptrdiff_t most = most_rows(w, call->rows);
    choose(&k);
    if (call->rows == 0)
        return 0;
    lay_out(&k);
    if (!call->amax && !call->by_row) {
        pqc_dimension all = {call->rows * w->in, false};
        pqc_reduce_amax(call->x, PQC_F32, &all, 1, &k.amax);
    }
    for (k.first = 0; k.first < call->rows && atomic_load(&k.flags) == 0; k.first += most) {
        k.rows = pqc_min(call->rows - k.first, most);
        run_part(&k);
    }
    return atomic_load(&k.flags);
}

typedef struct {
    const pqc_u4_weights *w;
    uint8_t *panels, *codes;
    float *scale;
    const uint8_t *given_codes;
    const float *given_scale;
} packing;

/* The byte that holds code k of a lane within a group, and the bit position in it. */
static ptrdiff_t byte_of(ptrdiff_t lane, ptrdiff_t k)
{
    return k / PQC_U4_KR * 64 + 4 * lane + k % 4;
}

static int shift_of(ptrdiff_t k)
{
    return k % PQC_U4_KR < 4 ? 0 : 4;
}

static void pack_channel(const packing *p, uint8_t *panel, ptrdiff_t channel)
{
    const pqc_u4_weights *w = p->w;
    for (ptrdiff_t g = 0; g < w->groups; g++) {
        uint8_t *group = panel + g * pqc_u4_group_bytes(w->length);
        ptrdiff_t lane = channel % PQC_U4_NR, n = pqc_min(w->in - g * w->length, w->length);
        const uint8_t *codes = p->given_codes + channel * w->in + g * w->length;
        for (ptrdiff_t k = 0; k < n; k++)
            group[byte_of(lane, k)] |= (uint8_t)((codes[k] & 15) << shift_of(k));
        memcpy(group + 8 * w->length + 4 * lane, p->given_scale + channel * w->groups + g, 4);
    }
}

static void pack_panels(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const packing *p = context;
    ptrdiff_t bytes = pqc_u4_panel_bytes(p->w->groups, p->w->length);
    memset(p->panels + begin * bytes, 0, (size_t)((end - begin) * bytes));
    for (ptrdiff_t channel = begin * PQC_U4_NR; channel < pqc_min(end * PQC_U4_NR, p->w->out);
         channel++)
        pack_channel(p, p->panels + channel / PQC_U4_NR * bytes, channel);
}

void pqc_u4_pack(const pqc_u4_weights *w, const uint8_t *codes, const float *scale, uint8_t *panels)
{
    packing p = {.w = w, .panels = panels, .given_codes = codes, .given_scale = scale};
    pqc_parallel_tasks(pqc_u4_panels(w->out), w->out * w->in, PACK_GRAIN, pack_panels, &p);
}

static void unpack_channels(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const packing *p = context;
    const pqc_u4_weights *w = p->w;
    for (ptrdiff_t channel = begin; channel < end; channel++) {
        ptrdiff_t lane = channel % PQC_U4_NR;
        const uint8_t *group =
            w->panels + channel / PQC_U4_NR * pqc_u4_panel_bytes(w->groups, w->length);
        for (ptrdiff_t k = 0; k < w->in; k++) {
            const uint8_t *of = group + k / w->length * pqc_u4_group_bytes(w->length);
            ptrdiff_t in = k % w->length;
            p->codes[channel * w->in + k] = (uint8_t)(of[byte_of(lane, in)] >> shift_of(in) & 15);
        }
        for (ptrdiff_t g = 0; g < w->groups; g++)
            memcpy(p->scale + channel * w->groups + g,
                   group + g * pqc_u4_group_bytes(w->length) + 8 * w->length + 4 * lane, 4);
    }
}

void pqc_u4_unpack(const pqc_u4_weights *w, uint8_t *codes, float *scale)
{
    packing p = {.w = w, .codes = codes, .scale = scale};
    pqc_parallel_tasks(w->out, w->out * w->in, PACK_GRAIN, unpack_channels, &p);
}

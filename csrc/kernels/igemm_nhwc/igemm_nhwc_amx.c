/* u8 x s8 convolutions and matrix products on images, channels last, through the output stage, with AMX tiles; see
 * igemm_nhwc.h. */
#include "igemm_nhwc.h"

#if PQC_AMX_COMPILES
#include "finish_nhwc/finish_nhwc_run_avx512.h"

#define AMX PQC_TARGET_AMX
#define INLINE AMX PQC_INLINE

enum { REGISTERS = 8 };

/* The tile configuration, as LDTILECFG reads it. */
typedef struct {
    uint8_t palette, first_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/* Registers 0 to 3 are sums.  If all K tiles have the same size, 4 and 5 are pixels and 6 and 7 weights; otherwise 4
 * and 5 are pixels and weights of full K tiles, 6 and 7 those of the last one of a run. */
AMX static void begin(ptrdiff_t run_k)
{
    int rest = (int)(run_k % PQC_TILE), last = rest ? rest : PQC_TILE;
    bool mixed = rest && run_k > PQC_TILE;
    int weights = mixed ? 5 : 6;
    tile_shapes s = {.palette = 1};
    for (int i = 0; i < REGISTERS; i++) {
        s.row_bytes[i] = 64;
        s.rows[i] = PQC_TILE;
    }
    for (int i = mixed ? 6 : 4; i < REGISTERS; i++) {
        if (i == 7 || i == weights)
            s.rows[i] = (uint8_t)last;
        else
            s.row_bytes[i] = (uint16_t)(4 * last);
    }
    PQC_WRITTEN_WHOLE(&s); /* GCC's intrinsic says that it reads 8 bytes */
    _tile_loadconfig(&s);
}

AMX static void end(void)
{
    _tile_release();
}

AVX512 static void finish(pqc_tile_pending *pending)
{
    const pqc_tile_results *to = pending->to;
    finish_pixels pixels = {pending->sums[pending->turn], PQC_TILE_PAIR, to->row, to->offset,
                            pending->channel};
    finish_refused r = {0, 0};
    finish_run(&pixels, 0, to->pixels, true, pending->channels, to->f, &r);
    pending->flags |= finish_flags(&r);
}

AMX static void flush(pqc_tile_pending *pending)
{
    if (pending->to && pending->to->pixels > 0)
        finish(pending);
    pending->to = NULL;
}

/* One step of K: the addresses of its operands and the distances of their rows. */
typedef struct {
    const uint8_t *x[2];
    const int8_t *w;
    ptrdiff_t pixel, k_stride;
} operands;

/* Four loads if there are enough registers; otherwise pixels are loaded twice. */
#define MULTIPLY(X0, W0)                                                                           \
    do {                                                                                           \
        _tile_loadd(W0, o.w, o.k_stride);                                                          \
        _tile_loadd(X0, o.x[0], o.pixel);                                                          \
        _tile_dpbusd(0, X0, W0);                                                                   \
        if (TILES == 2) {                                                                          \
            _tile_loadd(X0, o.x[1], o.pixel);                                                      \
            _tile_dpbusd(2, X0, W0);                                                               \
        }                                                                                          \
        if (VECTORS == 2) {                                                                        \
            _tile_loadd(W0, o.w + 64, o.k_stride);                                                 \
            if (TILES == 2) {                                                                      \
                _tile_dpbusd(3, X0, W0);                                                           \
                _tile_loadd(X0, o.x[0], o.pixel);                                                  \
            }                                                                                      \
            _tile_dpbusd(1, X0, W0);                                                               \
        }                                                                                          \
    } while (0)

#define MULTIPLY_LOADED_ONCE()                                                                     \
    do {                                                                                           \
        _tile_loadd(6, o.w, o.k_stride);                                                           \
        _tile_loadd(4, o.x[0], o.pixel);                                                           \
        _tile_dpbusd(0, 4, 6);                                                                     \
        if (TILES == 2) {                                                                          \
            _tile_loadd(5, o.x[1], o.pixel);                                                       \
            _tile_dpbusd(2, 5, 6);                                                                 \
        }                                                                                          \
        if (VECTORS == 2) {                                                                        \
            _tile_loadd(7, o.w + 64, o.k_stride);                                                  \
            _tile_dpbusd(1, 4, 7);                                                                 \
            if (TILES == 2)                                                                        \
                _tile_dpbusd(3, 5, 7);                                                             \
        }                                                                                          \
    } while (0)

/* What is interleaved with the tile instructions.  Each step prefetches weights.  After the first one, while its
 * products are under way, the pending results are stored all at once: where tile and vector instructions mix, the
 * latter can only use one port, so storing piecemeal would take longer. */
typedef struct {
    const int8_t *ahead;
    ptrdiff_t stride;
    int ahead_k;
    pqc_tile_pending *pending;
} meanwhile;

INLINE void do_meanwhile(meanwhile *m, const int VECTORS)
{
    for (int i = 0; i < m->ahead_k; i++, m->ahead += m->stride) {
        _mm_prefetch((const char *)m->ahead, _MM_HINT_T1);
        if (VECTORS == 2)
            _mm_prefetch((const char *)m->ahead + 64, _MM_HINT_T1);
    }
    if (m->pending->to)
        flush(m->pending);
}

/* Multiplies all kr groups. */
INLINE void multiply_all(const pqc_tile_pixels *x, const pqc_tile_weights *w, const int TILES,
                         const int VECTORS, const bool MIXED, meanwhile *m)
{
    ptrdiff_t whole = MIXED ? x->run_k / PQC_TILE : pqc_div_round_up(x->run_k, PQC_TILE);
    ptrdiff_t some = MIXED ? PQC_TILE : pqc_min(x->run_k, PQC_TILE);
    operands o = {.w = w->w, .pixel = x->pixel, .k_stride = w->k_stride};
    for (const int32_t *run = x->run, *stop = run + x->runs; run < stop; run++) {
        o.x[0] = x->tile[0] + *run;
        o.x[1] = x->tile[1] + *run;
        for (ptrdiff_t i = 0; i < whole; i++) {
            if (MIXED)
                MULTIPLY(4, 5);
            else
                MULTIPLY_LOADED_ONCE();
            o.x[0] += 4 * PQC_TILE;
            o.x[1] += 4 * PQC_TILE;
            o.w += some * o.k_stride;
            do_meanwhile(m, VECTORS);
        }
        if (MIXED) {
            MULTIPLY(6, 7);
            o.w += x->run_k % PQC_TILE * o.k_stride;
            do_meanwhile(m, VECTORS);
        }
    }
}

INLINE void load_compensation(const int32_t *compensation, const int TILES, const int VECTORS)
{
    if (!compensation) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        return;
    }
    _tile_loadd(0, compensation, 0);
    if (VECTORS == 2)
        _tile_loadd(1, compensation + PQC_LANES, 0);
    if (TILES == 2)
        _tile_loadd(2, compensation, 0);
    if (TILES == 2 && VECTORS == 2)
        _tile_loadd(3, compensation + PQC_LANES, 0);
}

INLINE void store_tiles(int32_t *to, const int TILES, const int VECTORS)
{
    enum { ROW = 4 * PQC_TILE_PAIR };
    int32_t *below = to + PQC_TILE * PQC_TILE_PAIR;
    _tile_stored(0, to, ROW);
    if (VECTORS == 2)
        _tile_stored(1, to + PQC_LANES, ROW);
    if (TILES == 2)
        _tile_stored(2, below, ROW);
    if (TILES == 2 && VECTORS == 2)
        _tile_stored(3, below + PQC_LANES, ROW);
}

INLINE void multiply_tiles(const pqc_tile_pixels *x, const pqc_tile_weights *w, const int TILES,
                           const int VECTORS, const bool MIXED, pqc_tile_pending *pending)
{
    meanwhile m = {w->ahead, w->ahead_stride, w->ahead ? w->ahead_k : 0, pending};
    load_compensation(w->compensation, TILES, VECTORS);
    multiply_all(x, w, TILES, VECTORS, MIXED, &m);
    pending->turn = !pending->turn;
    store_tiles(pending->sums[pending->turn], TILES, VECTORS);
}

INLINE void multiply_some(const pqc_tile_pixels *x, const pqc_tile_weights *w, const int TILES,
                          const int VECTORS, pqc_tile_pending *pending)
{
    if (x->run_k % PQC_TILE && x->run_k > PQC_TILE)
        multiply_tiles(x, w, TILES, VECTORS, true, pending);
    else
        multiply_tiles(x, w, TILES, VECTORS, false, pending);
}

AMX static void multiply(const pqc_tile_pixels *x, const pqc_tile_weights *w,
                         const pqc_tile_results *to, pqc_tile_pending *pending)
{
    if (x->tiles == 2 && w->channels > PQC_TILE)
        multiply_some(x, w, 2, 2, pending);
    else if (x->tiles == 2)
        multiply_some(x, w, 2, 1, pending);
    else if (w->channels > PQC_TILE)
        multiply_some(x, w, 1, 2, pending);
    else
        multiply_some(x, w, 1, 1, pending);
    pending->to = to;
    pending->channel = w->channel;
    pending->channels = w->channels;
}

const pqc_igemm_nhwc pqc_igemm_nhwc_amx = {begin, end, multiply, flush};

#endif

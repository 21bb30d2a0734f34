/* Transforms the weights of 3 x 3 convolutions for Winograd's algorithm; see winograd_weights.h. */
#include "winograd_weights.h"

#include "winograd_nhwc/winograd_nhwc.h"

#include <string.h>

static ptrdiff_t pairs_of(const pqc_weights *w)
{
    return pqc_div_round_up(w->shape.in, 2);
}

ptrdiff_t pqc_winograd_weights_panel(const pqc_weights *w, ptrdiff_t channel)
{
    return channel * PQC_WINOGRAD_POSITIONS * pairs_of(w) * 2;
}

ptrdiff_t pqc_winograd_weights_bytes(const pqc_weights *w)
{
    return pqc_winograd_weights_panel(w, w->padded_out) * (ptrdiff_t)sizeof(int16_t);
}

/* One kernel, of output channel first + lane of a panel of `width`, from the packed bytes. */
static void get_kernel(const pqc_weights *w, ptrdiff_t first, ptrdiff_t width, ptrdiff_t lane,
                       ptrdiff_t in, int8_t g[9])
{
    const pqc_weights_shape *s = &w->shape;
    const int8_t *from = w->bytes + first * w->k * 4 + 4 * lane;
    for (ptrdiff_t tap = 0; tap < 9; tap++) {
        ptrdiff_t run =
            s->merged ? tap / 3 * pqc_div_round_up(3 * s->in, 4) : tap * pqc_div_round_up(s->in, 4);
        ptrdiff_t byte = s->merged ? tap % 3 * s->in + in : in;
        g[tap] = from[(run + byte / 4) * width * 4 + byte % 4];
    }
}

void pqc_winograd_weights_pack(const pqc_weights *w, int16_t *u)
{
    ptrdiff_t pairs = pairs_of(w);
    memset(u, 0, (size_t)pqc_winograd_weights_bytes(w));
    for (ptrdiff_t first = 0; first < w->padded_out; first += PQC_NR) {
        ptrdiff_t width = pqc_min(w->padded_out - first, PQC_NR);
        int16_t *panel = u + pqc_winograd_weights_panel(w, first);
        for (ptrdiff_t in = 0; in < w->shape.in; in++)
            for (ptrdiff_t lane = 0; lane < width; lane++) {
                int8_t g[9];
                int16_t all[PQC_WINOGRAD_POSITIONS];
                get_kernel(w, first, width, lane, in, g);
                pqc_winograd_nhwc_weights(g, all);
                int16_t *to = panel + (in / 2 * width + lane) * 2 + in % 2;
                for (ptrdiff_t p = 0; p < PQC_WINOGRAD_POSITIONS; p++)
                    to[p * pairs * width * 2] = all[p];
            }
    }
}

/* Sorts the sequences of a batch by length, and gathers and scatters their float32 rows and states. */
#include "lengths.h"

#include <string.h>

static ptrdiff_t gates(const pqc_recurrent *r)
{
    return r->directions * pqc_cell_gates(r->cell) * r->hidden;
}

static void *take(char **at, ptrdiff_t bytes)
{
    void *found = *at;
    *at += pqc_line_aligned(bytes);
    return found;
}

/* Lays out the memory; returns its end.  r->steps: the number of all steps. */
static char *lay_out(pqc_lengths *l, const pqc_recurrent *r, char *at)
{
    ptrdiff_t rows = r->steps * r->batch, size = (ptrdiff_t)sizeof(float);
    ptrdiff_t state = r->directions * r->batch * r->hidden * size;
    l->length = take(&at, r->batch * (ptrdiff_t)sizeof *l->length);
    l->place = take(&at, r->batch * (ptrdiff_t)sizeof *l->place);
    l->first = take(&at, (r->steps + 1) * (ptrdiff_t)sizeof *l->first);
    l->sizes = take(&at, (r->steps + 1) * (ptrdiff_t)sizeof *l->sizes);
    l->ahead = take(&at, rows * gates(r) * size);
    l->y = take(&at, rows * r->directions * r->hidden * size);
    l->h = take(&at, state);
    l->c = take(&at, state);
    return at;
}

ptrdiff_t pqc_lengths_bytes(const pqc_recurrent *r)
{
    char nothing;
    pqc_lengths l;
    return lay_out(&l, r, &nothing) - &nothing;
}

/* sizes[t] is the number of sequences longer than t steps; a sequence of t steps comes after those. */
static void set_places(pqc_lengths *l, const pqc_recurrent *r, ptrdiff_t all)
{
    for (ptrdiff_t t = 0; t <= all; t++)
        l->first[t] = l->sizes[t];
    for (ptrdiff_t b = 0; b < r->batch; b++)
        l->place[b] = l->first[l->length[b]]++;
}

bool pqc_lengths_begin(pqc_lengths *l, pqc_recurrent *r, const char *lengths, void *room)
{
    ptrdiff_t all = r->steps;
    lay_out(l, r, room);
    memcpy(l->length, lengths, (size_t)r->batch * sizeof *l->length);
    memset(l->sizes, 0, (size_t)(all + 1) * sizeof *l->sizes);
    for (ptrdiff_t b = 0; b < r->batch; b++) {
        if (l->length[b] < 0 || l->length[b] > all)
            return false;
        if (l->length[b] > 0)
            l->sizes[l->length[b] - 1]++;
    }
    r->steps = 0;
    r->rows = 0;
    for (ptrdiff_t t = all - 1; t >= 0; t--)
        l->sizes[t] += l->sizes[t + 1];
    set_places(l, r, all);
    while (r->steps < all && l->sizes[r->steps] > 0) {
        l->first[r->steps] = r->rows;
        r->rows += (ptrdiff_t)l->sizes[r->steps++];
    }
    r->sizes = l->sizes;
    return true;
}

static void gather_states(const pqc_lengths *l, const pqc_recurrent *r, const float *from,
                          float *to)
{
    for (ptrdiff_t d = 0; d < r->directions; d++)
        for (ptrdiff_t b = 0; b < r->batch; b++)
            memcpy(to + (d * r->batch + l->place[b]) * r->hidden,
                   from + (d * r->batch + b) * r->hidden, (size_t)r->hidden * sizeof *to);
}

void pqc_lengths_gather(pqc_lengths *l, pqc_recurrent *r)
{
    ptrdiff_t n = gates(r);
    for (ptrdiff_t b = 0; b < r->batch; b++)
        for (ptrdiff_t t = 0; t < l->length[b]; t++)
            memcpy(l->ahead + (l->first[t] + l->place[b]) * n, r->ahead + (t * r->batch + b) * n,
                   (size_t)n * sizeof *l->ahead);
    gather_states(l, r, r->h, l->h);
    if (r->c)
        gather_states(l, r, r->c, l->c);
    r->ahead = l->ahead;
    r->y = l->y;
    r->h = l->h;
    r->c = r->c ? l->c : NULL;
    r->y_direction = r->hidden;
    r->y_row = r->directions * r->hidden;
}

static void scatter_states(const pqc_lengths *l, const pqc_recurrent *r, const float *from,
                           float *to)
{
    size_t bytes = (size_t)r->hidden * sizeof *to;
    for (ptrdiff_t d = 0; d < r->directions; d++)
        for (ptrdiff_t b = 0; b < r->batch; b++) {
            float *state = to + (d * r->batch + b) * r->hidden;
            if (l->length[b] > 0)
                memcpy(state, from + (d * r->batch + l->place[b]) * r->hidden, bytes);
            else
                memset(state, 0, bytes);
        }
}

void pqc_lengths_scatter(const pqc_lengths *l, const pqc_recurrent *r, ptrdiff_t all, float *y,
                         float *h, float *c)
{
    size_t bytes = (size_t)r->hidden * sizeof *y;
    for (ptrdiff_t t = 0; t < all; t++)
        for (ptrdiff_t d = 0; d < r->directions; d++)
            for (ptrdiff_t b = 0; b < r->batch; b++, y += r->hidden)
                if (t < l->length[b])
                    memcpy(y, l->y + ((l->first[t] + l->place[b]) * r->directions + d) * r->hidden,
                           bytes);
                else
                    memset(y, 0, bytes);
    scatter_states(l, r, l->h, h);
    if (c)
        scatter_states(l, r, l->c, c);
}

/* Finds consecutive steps that can run by bands of rows, and runs them so; see bands.h. */
#include "bands.h"

#include "cache_sizes.h"
#include "clock.h"
#include "parallel.h"
#include "steps.h"
#include "winograd_nhwc/winograd_nhwc.h"

#include <string.h>

enum { MAX_TOGETHER = 8, MIN_ROWS = 4, NONE = -1 };

static bool is_there(const pqc_image *i)
{
    return i->codes.content != PQC_NOTHING;
}

/* True if rows of the step's output depend only on some rows of one image and the same rows of another. */
static bool is_by_rows(const pqc_step *s)
{
    bool one = s->input.n == 1 && !s->input.nchw && !is_there(&s->more[0]);
    for (int i = 0; i < s->outputs; i++)
        one &= !s->output[i].nchw;
    return one && (s->kind == PQC_STEP_CONV || s->kind == PQC_STEP_POOL);
}

/* Bytes that vectors read past an end do not matter. */
static bool overlap(const pqc_image *a, const pqc_image *b)
{
    return is_there(a) && is_there(b) && a->buffer == b->buffer &&
           a->offset < b->offset + b->n * pqc_image_size(b) &&
           b->offset < a->offset + a->n * pqc_image_size(a);
}

/* False if one is a slice of the other's channels. */
static bool is_same(const pqc_image *a, const pqc_image *b)
{
    return a->buffer == b->buffer && a->offset == b->offset && a->n == b->n && a->h == b->h &&
           a->w == b->w && a->c == b->c && a->codes.pixel == b->codes.pixel && a->top == b->top &&
           a->bottom == b->bottom && a->left == b->left && a->right == b->right;
}

/* The number of the step, among the first `count`, that writes an image; or NONE. */
static int writer_of(const pqc_step *step, int count, const pqc_image *image)
{
    for (int i = 0; i < count && is_there(image); i++)
        for (int k = 0; k < step[i].outputs; k++)
            if (is_same(&step[i].output[k], image))
                return i;
    return NONE;
}

/* True if those steps write all of an image or none of its bytes. */
static bool is_read_whole(const pqc_step *step, int count, const pqc_image *image)
{
    int writer = writer_of(step, count, image);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < step[i].outputs; k++)
            if (overlap(&step[i].output[k], image) &&
                (i != writer || !is_same(&step[i].output[k], image)))
                return false;
    return true;
}

/* True if a step can follow `count` others within a band. */
static bool can_follow(const pqc_step *step, int count)
{
    const pqc_step *s = step + count;
    if (!is_by_rows(s) || writer_of(step, count, &s->input) != count - 1 ||
        !is_read_whole(step, count, &s->input) || !is_read_whole(step, count, &s->residual))
        return false;
    for (int i = 0; i < count; i++)
        for (int k = 0; k < s->outputs; k++) {
            const pqc_image *to = &s->output[k];
            if (overlap(to, &step[i].input) || overlap(to, &step[i].residual))
                return false;
            for (int m = 0; m < step[i].outputs; m++)
                if (overlap(to, &step[i].output[m]))
                    return false;
        }
    return true;
}

/* Bytes of the first step's input and of all outputs. */
static ptrdiff_t bytes_of(const pqc_step *step, int count)
{
    ptrdiff_t bytes = pqc_image_size(&step->input);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < step[i].outputs; k++)
            bytes += pqc_image_size(&step[i].output[k]);
    return bytes;
}

/* True if steps among the first `count` write all bytes of an image before a step reads any of them. */
static bool is_written(const pqc_step *step, ptrdiff_t count, const pqc_image *image)
{
    for (ptrdiff_t i = 0; i < count; i++)
        for (int k = 0; k < step[i].outputs; k++) {
            const pqc_image *to = &step[i].output[k];
            if (to->buffer == image->buffer && to->offset <= image->offset &&
                to->offset + to->n * pqc_image_size(to) >=
                    image->offset + image->n * pqc_image_size(image))
                return true;
        }
    return false;
}

/* True if one of those steps reads what an image held before the first of them. */
static bool is_read(const pqc_step *step, ptrdiff_t steps, const pqc_image *image)
{
    for (ptrdiff_t i = 0; i < steps; i++)
        for (int k = 0; k < PQC_MAX_OPERANDS; k++) {
            const pqc_image *from = k == 0   ? &step[i].input
                                    : k == 1 ? &step[i].residual
                                             : &step[i].more[k - 2];
            if (overlap(from, image) && !is_written(step, i, from))
                return true;
        }
    return false;
}

/* True if step number + 1 alone reads its input, an image in the arena. */
static bool passes_on(const pqc_step *step, int number, int together, ptrdiff_t steps)
{
    const pqc_image *image = &step[number + 1].input;
    for (int i = 0; i < together; i++)
        if (overlap(&step[i].residual, image) ||
            (i != number + 1 && overlap(&step[i].input, image)))
            return false;
    return image->buffer == 0 && !is_read(step + together, steps - together, image);
}

/* A step takes as long for fewer rows: Winograd's tiles are whole. */
static ptrdiff_t rows_at_a_time(const pqc_step *s)
{
    return s->winograd ? PQC_WINOGRAD_SIDE : 1;
}

void pqc_bands_find(pqc_step *step, ptrdiff_t steps)
{
    for (ptrdiff_t i = 0, count; i < steps; i += count) {
        count = 1;
        step[i].together = 1;
        if (!is_by_rows(step + i))
            continue;
        while (count < pqc_min(steps - i, MAX_TOGETHER) && can_follow(step + i, (int)count))
            count++;
        ptrdiff_t bytes = bytes_of(step + i, (int)count), h = step[i].output[0].h;
        for (ptrdiff_t k = 0; k < count; k++)
            step[i + k].together = 1;
        if (count == 1 || bytes <= PQC_L2_WORKING_SET)
            continue;
        step[i].together = (int)count;
        step[i].band = pqc_max((ptrdiff_t)PQC_L2_BAND * h / bytes, MIN_ROWS);
        for (int k = 0; k < count; k++)
            step[i].band = pqc_round_up(step[i].band, rows_at_a_time(&step[i + k]));
        for (int k = 0; k + 1 < count; k++)
            step[i + k].passes_on = passes_on(step + i, k, (int)count, steps - i);
    }
}

/* How many rows of the output can be computed from `rows` rows of the input. */
static ptrdiff_t rows_from(const pqc_step *s, ptrdiff_t rows)
{
    const pqc_window *w = &s->y;
    ptrdiff_t last = rows - 1 - (w->kernel - 1) * w->dilation + w->before;
    if (rows >= s->input.h)
        return s->output[0].h;
    return rows == 0 || last < 0 ? 0 : pqc_min(last / w->stride + 1, s->output[0].h);
}

/* Narrows an image to its rows [begin, end), given that its first `gone` rows, border included, have been moved out. */
static void cut(pqc_image *i, ptrdiff_t gone, ptrdiff_t begin, ptrdiff_t end)
{
    if (is_there(i)) {
        i->offset += (begin - gone) * pqc_image_row(i);
        i->h = end - begin;
    }
}

/* Fills the borders beside rows that have been cut out, and those above the first and below the last. */
static void fill_border(const pqc_image *rows, bool first, bool last, char *const *buffers)
{
    pqc_image i = *rows;
    if (!first) {
        i.offset += i.top * pqc_image_row(&i);
        i.top = 0;
    }
    if (!last)
        i.bottom = 0;
    pqc_image_fill_border(&i, buffers);
}

typedef struct {
    ptrdiff_t done;                  /* rows of the outputs computed so far */
    ptrdiff_t gone[PQC_MAX_OUTPUTS]; /* for each output: rows that have been moved out */
} progress;

/* Computes the rows of the outputs up to `end`. */
static unsigned run_rows(const pqc_step *s, char *const *buffers, const progress *p,
                         ptrdiff_t input_gone, ptrdiff_t end)
{
    pqc_step part = *s;
    bool last = end == s->output[0].h;
    part.tiling.fits = false; /* even if another thread selects kernels for tiles meanwhile */
    part.y.before -= p->done * s->y.stride;
    part.input.offset -= input_gone * pqc_image_row(&s->input);
    cut(&part.residual, 0, p->done, end);
    for (int i = 0; i < s->outputs; i++) {
        cut(&part.output[i], p->gone[i], p->done, end);
        fill_border(&part.output[i], p->done == 0, last, buffers);
    }
    return pqc_step_run_bare(&part, buffers);
}

/* Moves the rows of an output that `next` will read again to the beginning of the image, so that all bands use the
 * same memory. */
static void make_room(const pqc_image *i, ptrdiff_t *gone, ptrdiff_t done, const pqc_step *next,
                      ptrdiff_t next_done, char *const *buffers)
{
    ptrdiff_t needed = next_done * next->y.stride - next->y.before + i->top;
    ptrdiff_t from = pqc_clamp(needed, *gone, done + i->top), row = pqc_image_row(i);
    char *base = buffers[i->buffer] + i->offset;
    memmove(base, base + (from - *gone) * row, (size_t)((done + i->top - from) * row));
    *gone = from;
}

/* The number of the output that only the next step ever reads; or NONE. */
static int passed_on(const pqc_step *s, bool last)
{
    for (int k = 0; k < s->outputs && !last; k++)
        if (s->passes_on && is_same(&s->output[k], &s[1].input))
            return k;
    return NONE;
}

/* The last rows of an image may be for readers outside of the band alone. */
static bool are_done(const pqc_step *step, const progress *all, int count)
{
    bool done = true;
    for (int i = 0; i < count; i++)
        done &= all[i].done == step[i].output[0].h;
    return done;
}

unsigned pqc_bands_run(const pqc_step *step, char *const *buffers, ptrdiff_t number,
                       const pqc_program_call *call, int64_t *asked)
{
    progress all[MAX_TOGETHER] = {{0}};
    unsigned flags = 0;
    int count = step->together;
    ptrdiff_t band = step->band * pqc_get_num_threads(); /* each has a cache of its own */
    int64_t begin = pqc_nanoseconds();
    int64_t *nanoseconds = call->nanoseconds ? call->nanoseconds + number : NULL;
    for (int i = 0; i < count && nanoseconds; i++)
        nanoseconds[i] = 0;
    while (!are_done(step, all, count) && !flags)
        for (int i = 0; i < count && !flags; i++) {
            progress *p = &all[i];
            int residual = writer_of(step, i, &step[i].residual), before = NONE;
            int own = passed_on(&step[i], i + 1 == count);
            ptrdiff_t end = pqc_min(p->done + band, step->output[0].h);
            if (i > 0) {
                before = passed_on(&step[i - 1], false);
                end = rows_from(&step[i], p[-1].done);
            }
            if (residual != NONE)
                end = pqc_min(end, all[residual].done);
            if (end < step[i].output[0].h) /* the last rows are as many as there are */
                end -= (end - p->done) % rows_at_a_time(&step[i]);
            if (end <= p->done)
                continue;
            if (own != NONE && p->done > 0) /* the first band needs the whole border above */
                make_room(&step[i].output[own], &p->gone[own], p->done, &step[i + 1], p[1].done,
                          buffers);
            flags = run_rows(&step[i], buffers, p, before == NONE ? 0 : p[-1].gone[before], end);
            p->done = end;
            int64_t now = pqc_nanoseconds();
            if (nanoseconds)
                nanoseconds[i] += now - begin;
            flags |= pqc_program_asks(call, now, asked);
            begin = now;
        }
    return flags;
}

/* Reads and checks the layout of steps along the frames of volumes. */
#include "frames.h"

enum { FIRST = 1, END = 7, MAX_NUMBER = 1 << 24 };

pqc_frames pqc_frames_of(const pqc_step *step)
{
    const int64_t *l = step->layout + FIRST;
    if (l[0] == 0)
        return (pqc_frames){1, 1, {.stride = 1, .dilation = 1, .kernel = 1}};
    return (pqc_frames){(ptrdiff_t)l[0],
                        (ptrdiff_t)l[1],
                        {.kernel = (ptrdiff_t)l[2],
                         .stride = (ptrdiff_t)l[3],
                         .dilation = (ptrdiff_t)l[4],
                         .before = (ptrdiff_t)l[5]}};
}

const char *pqc_frames_check(const pqc_step *step)
{
    const int64_t *l = step->layout;
    const pqc_image *in = &step->input, *out = &step->output[0];
    for (int i = FIRST; i < PQC_LAYOUT; i++) {
        bool is_number = i < END && l[FIRST] != 0, may_be_zero = i == END - 1;
        if (is_number ? l[i] < !may_be_zero || l[i] > MAX_NUMBER : l[i] != 0)
            return "a layout that is not used";
    }
    pqc_frames f = pqc_frames_of(step);
    return in->n % f.in == 0 && out->n == in->n / f.in * f.out
               ? NULL
               : "volumes of other numbers of frames";
}

/* Checks that the windows of a step are within bounds. */
#include "step.h"

enum { MAX_NUMBER = 1 << 24 };

static bool is_in_range(const pqc_window *w)
{
    return w->stride >= 1 && w->dilation >= 1 && w->kernel >= 1 && w->stride <= MAX_NUMBER &&
           w->dilation <= MAX_NUMBER && w->kernel <= MAX_NUMBER && w->before >= 0 &&
           w->before <= MAX_NUMBER;
}

const char *pqc_window_check(const pqc_step *step)
{
    return is_in_range(&step->y) && is_in_range(&step->x) ? NULL : "a window beyond its bounds";
}

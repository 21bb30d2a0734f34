/* Convolutions of floats of programs whose windows lie far outside of the image, as a corrupt or malicious file may say. */
#include "check.h"
#include "dispatch.h"
#include "steps.h"
#include "tests.h"

#include <stdlib.h>

/* The last window begins HEIGHT * STRIDE rows of WIDTH pixels behind the first: more floats than 64 bits can count. */
enum { CHANNELS = 2, WIDTH = 1 << 20, HEIGHT = 1 << 19, STRIDE = 1 << 24 };

static pqc_image floats(ptrdiff_t h, ptrdiff_t w, ptrdiff_t c, ptrdiff_t number)
{
    pqc_image i = {.n = 1, .h = h, .w = w, .c = c, .buffer = number};
    i.codes = (pqc_pixels){.content = PQC_FLOATS, .pixel = c * (ptrdiff_t)sizeof(float)};
    return i;
}

/* Windows of one tap: the first result is the bias and that product, the others are the bias. */
static void check_far_windows(ptrdiff_t groups, float *x, float *y)
{
    float w[PQC_GEMM_NR * (1 + CHANNELS)] = {0};
    ptrdiff_t panel = groups == 1 ? PQC_GEMM_NR : CHANNELS;
    pqc_step s = {.kind = PQC_STEP_FLOAT_CONV, .outputs = 1, .layout = {groups}};
    s.x = (pqc_window){.stride = 1, .dilation = 1, .kernel = 1};
    s.y = (pqc_window){.stride = STRIDE, .dilation = 1, .kernel = 1};
    s.input = floats(1, WIDTH, CHANNELS, 0);
    s.output[0] = floats(HEIGHT, 1, CHANNELS, 1);
    s.residual = floats(1, 1, panel * (1 + CHANNELS / groups), 2);
    for (ptrdiff_t c = 0; c < CHANNELS; c++) {
        w[c] = (float)(1 + c);
        w[panel + c] = 0.5f;
        x[c] = 8.0f;
    }
    char *buffers[] = {(char *)x, (char *)y, (char *)w};
    const char *why = pqc_step_prepare(&s);
    CHECK(!why, "%s", why);
    pqc_step_run(&s, buffers);
    for (ptrdiff_t i = 0; i < HEIGHT * CHANNELS; i++) {
        float wanted = (float)(1 + i % CHANNELS) + (i < CHANNELS ? 4.0f : 0.0f);
        CHECK(same_f32(y[i], wanted), "%td groups, number %td: %a, not %a", groups, i, (double)y[i],
              (double)wanted);
    }
}

void test_float_conv_step(void)
{
    float *x = calloc(WIDTH * CHANNELS, sizeof *x), *y = calloc(HEIGHT * CHANNELS, sizeof *y);
    check_far_windows(1, x, y);
    check_far_windows(CHANNELS, x, y);
    free(x);
    free(y);
}

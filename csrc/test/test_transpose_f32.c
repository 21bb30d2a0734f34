#include "check.h"
#include "dispatch.h"
#include "tests.h"

enum { MAX_SIDE = 40 };

static void check_transpose(ptrdiff_t rows, ptrdiff_t columns, buffer *buffers)
{
    float *x = buffer_place(&buffers[0], (size_t)(rows * columns) * 4, 0);
    float *y = buffer_place(&buffers[1], (size_t)(rows * columns) * 4, 0);
    fill_within_f32(x, rows * columns, 1.0f);
    pqc.transpose_f32(x, columns, rows, columns, y, rows);
    for (ptrdiff_t i = 0; i < rows * columns; i++)
        CHECK(same_f32(y[i % columns * rows + i / columns], x[i]), "%td x %td", rows, columns);
    CHECK(buffer_guards_intact(&buffers[1]), "%td x %td", rows, columns);
}

void test_transpose_f32(void)
{
    buffer buffers[2];
    for (int i = 0; i < 2; i++)
        buffer_open(&buffers[i]);
    for (ptrdiff_t rows = 1; rows <= MAX_SIDE; rows += rows < 10 ? 1 : 11)
        for (ptrdiff_t columns = 1; columns <= MAX_SIDE; columns += 3)
            check_transpose(rows, columns, buffers);
    for (int i = 0; i < 2; i++)
        buffer_close(&buffers[i]);
}

/* Several threads in the library at once, while another changes the table of kernels and the number
 * of threads: for ThreadSanitizer, and every answer is still right. */
#include "elementwise.h"
#include "reduce.h"
#include "check.h"
#include "dispatch.h"
#include "histogram.h"
#include "parallel.h"
#include "tests.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { N = 300000, BINS = 64, CALLERS = 4, ROUNDS = 6 };

static float x[N]; /* 0, 1/4, 1/2 ... up to BINS - 1/4, again and again */
static atomic_bool over;
static atomic_int wrong;

static void count_once(const float *edges, int64_t *counts, char *scratch)
{
    for (int i = 0; i < BINS; i++)
        counts[i] = 0;
    pqc_elements all = {.data = x, .n = N, .inner = N, .stride = N, .dtype = PQC_F32};
    float largest = pqc_histogram(all, edges, BINS, false, false, scratch, 4, counts);
    int64_t least = N / (4 * BINS) * 4; /* of a bin: whole runs of x; the rest is one run's part */
    for (int i = 0; i < BINS; i++)
        wrong += counts[i] < least || counts[i] > least + 4;
    wrong += largest != (float)BINS - 0.25f;
}

static void *call(void *unused)
{
    float edges[BINS + 1], mul = 1.0f, div = 1.0f, amax;
    int64_t counts[BINS];
    float *y = malloc(N * sizeof *y);
    char *scratch = malloc(pqc_histogram_scratch(BINS, 4));
    for (int i = 0; i <= BINS; i++)
        edges[i] = (float)i;
    pqc_elementwise job = {.operation = PQC_QUANTIZE, .dtype = PQC_F32, .x = x, .y = y, .n = N};
    job.q = (pqc_quantization){
        .channels = 1, .inner = 1, .mul = &mul, .div = &div, .lo = -127.0, .hi = 127.0};
    pqc_dimension all = {N, false};
    for (int round = 0; round < ROUNDS; round++) {
        pqc_apply(&job);
        for (int i = 0; i < N; i += 7)
            wrong += y[i] != (float)round_even((double)x[i]);
        pqc_reduce_amax(x, PQC_F32, &all, 1, &amax);
        wrong += amax != (float)BINS - 0.25f;
        count_once(edges, counts, scratch);
    }
    free(y);
    free(scratch);
    return unused;
}

static void *change(void *unused)
{
    for (unsigned i = 0; !atomic_load(&over); i++) {
        pqc_select(i);
        pqc_set_num_threads(1 + (int)(i % 4));
    }
    return unused;
}

void test_at_once(void)
{
    pthread_t callers[CALLERS], changer;
    unsigned before = pqc_selected();
    int threads = pqc_get_num_threads();
    for (int i = 0; i < N; i++)
        x[i] = (float)(i % (4 * BINS)) / 4;
    pthread_create(&changer, NULL, change, NULL);
    for (int i = 0; i < CALLERS; i++)
        pthread_create(&callers[i], NULL, call, NULL);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i], NULL);
    atomic_store(&over, true);
    pthread_join(changer, NULL);
    CHECK(wrong == 0, "%d wrong answers", (int)wrong);
    pqc_select(before);
    pqc_set_num_threads(threads);
}

/* Runs pending signal handlers during a long call. */
#include "interrupt.h"

bool pqc_interrupted(void *thread_state)
{
    PyThreadState **state = thread_state;
    PyEval_RestoreThread(*state);
    bool raised = PyErr_CheckSignals() < 0;
    *state = PyEval_SaveThread();
    return raised;
}

/* What py_recurrent.c makes for the recurrent layers of compiled programs. */
#ifndef PQC_PROGRAM_STATES_H
#define PQC_PROGRAM_STATES_H

#include "numpy_api.h"

#include "recurrent.h"

/* What a capsule of program_states holds; NULL with an exception if it is another object. */
const pqc_recurrent *pqc_program_states_of(PyObject *capsule);

#endif

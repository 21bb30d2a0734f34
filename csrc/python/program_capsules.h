/* What plans of compiled programs point to: packed weights, and the cells of recurrent layers. */
#ifndef PQC_PROGRAM_CAPSULES_H
#define PQC_PROGRAM_CAPSULES_H

#include "numpy_api.h"

#include "program_weights.h"
#include "recurrent.h"

/* What a capsule of program_weights or program_states holds; NULL with an exception if it is another object. */
const pqc_weights *pqc_program_weights_of(PyObject *capsule);
const pqc_recurrent *pqc_program_states_of(PyObject *capsule);

#endif

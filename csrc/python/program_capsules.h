/* Capsules that plans of compiled programs refer to: packed weights, and the cells of recurrent layers. */
#ifndef PQC_PROGRAM_CAPSULES_H
#define PQC_PROGRAM_CAPSULES_H

#include "numpy_api.h"

#include "program_weights.h"
#include "recurrent.h"

/* The content of a capsule of program_weights or program_states; NULL with an exception for any other object. */
const pqc_weights *pqc_program_weights_of(PyObject *capsule);
const pqc_recurrent *pqc_program_states_of(PyObject *capsule);

/* The weights of such a capsule, transformed for Winograd's algorithm at the first call; NULL with an exception. */
const int16_t *pqc_program_winograd_of(PyObject *capsule);

#endif

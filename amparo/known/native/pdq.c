#include "kernels.h"

void pdq_choose(void) {}

PyMethodDef PDQ_METHODS[] = {{NULL, NULL, 0, NULL}};

#include "kernels.h"

void exact_choose(void) {}

PyMethodDef EXACT_METHODS[] = {{NULL, NULL, 0, NULL}};

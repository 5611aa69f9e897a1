// Denormals of everything that PyTorch computes, for tcn/native/library.py.

#include "denormals.h"

#include <omp.h>

#include "instruction_set.h"

// On (1) or off (0) for the calling thread and those that share its work.
EXPORT void tcn_flush_denormals_everywhere(int on, int threads) {
#pragma omp parallel num_threads(threads)
    denormals::set_control(on ? denormals::control() | denormals::FLUSH : denormals::control() & ~denormals::FLUSH);
}

// Denormals of everything that PyTorch computes, for tcn/native/library.py.

#include "denormals.h"

#include <algorithm>

#include "calling.h"
#include "instruction_set.h"

// On (1) or off (0) for the calling thread and those that share its work.
EXPORT void tcn_flush_denormals_everywhere(int64_t on, int64_t threads) {
#pragma omp parallel num_threads(static_cast<int>(std::clamp<int64_t>(threads, 1, MOST_THREADS)))
    denormals::set_control(on ? denormals::control() | denormals::FLUSH : denormals::control() & ~denormals::FLUSH);
}

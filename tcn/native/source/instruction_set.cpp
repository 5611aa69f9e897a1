#include "instruction_set.h"

#include <cstdint>

namespace {

InstructionSet best() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    return avx2 && avx512 ? AVX512 : avx2 ? AVX2 : BASELINE;
#else
    return BASELINE;
#endif
}

InstructionSet chosen = best();

}  // namespace

InstructionSet instruction_set() { return chosen; }

// Takes a lower one than the machine's best (0 baseline, 1 AVX2, 2 AVX-512) and returns what is in use from then on.
EXPORT int tcn_set_instruction_set(int64_t wanted) {
    const InstructionSet most = best();
    chosen = wanted < most ? static_cast<InstructionSet>(wanted < 0 ? 0 : wanted) : most;
    return chosen;
}

// Of what is handed over, see INTERFACE in tcn/native/library.py.
EXPORT int tcn_interface() { return 4; }

// Which copy of the kernels runs on this machine, and what the library shows to the outside.

#pragma once

#define EXPORT extern "C" __attribute__((visibility("default")))

enum InstructionSet { BASELINE = 0, AVX2 = 1, AVX512 = 2 };

// The best one the processor and the operating system support, or the lower one that was asked for.
InstructionSet instruction_set();

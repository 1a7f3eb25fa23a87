#pragma once
#include <stddef.h>
#include <stdint.h>

/// libFuzzer's driver, as a function: the package manager wants to name `main` itself.
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *start, size_t count));

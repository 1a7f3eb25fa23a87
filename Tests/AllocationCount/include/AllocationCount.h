// Counts calls of malloc and its relatives, by thread: how tests show that something allocates nothing.
#pragma once
#include <stdint.h>

/// Allocations that the calling thread has made since it started. Only compare two readings of one thread.
uint64_t rt_allocation_count(void);

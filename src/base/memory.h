// How much memory this process may still take, and refusing before it is too late.
#pragma once

#include <cstdint>
#include <string>

namespace frugal {

// The smaller of MemAvailable (/proc/meminfo) and what the control group leaves; -1 when neither can be read.
int64_t available_memory_bytes();

// The most that this process has had in memory so far.
int64_t peak_memory_bytes();

// What it has in memory now.
int64_t resident_memory_bytes();

// Throws Error when `bytes` do not fit. what: "training", "the model and its cache", ...
void require_memory(int64_t bytes, const std::string& what, const std::string& remedy);

}  // namespace frugal

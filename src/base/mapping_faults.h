// What happens when a mapped file cannot be read any more: it was cut short by another program, or its disk
// failed. The kernel says so by SIGBUS at the instruction that reads; the program ends with one sentence that
// names the file, and exit status 1.
#pragma once

#include <cstddef>
#include <string>

namespace frugal {

// From a mapping's beginning to forget_mapping(). Beyond 4,096 mappings at once, those that come last are not
// named.
void watch_mapping(const void* data, size_t bytes, const std::string& path);
void forget_mapping(const void* data);

}  // namespace frugal

// What this program is and what built it.
#pragma once

namespace frugal {

extern const char* const kVersion;   // "0.1.0"
extern const char* const kCompiler;  // "g++ 12.2.0"

}  // namespace frugal

#include "base/build.h"

namespace frugal {

const char* const kVersion = FRUGAL_VERSION;
#if defined(__clang__)
const char* const kCompiler = "clang " __clang_version__;
#else
const char* const kCompiler = "g++ " __VERSION__;
#endif

}  // namespace frugal

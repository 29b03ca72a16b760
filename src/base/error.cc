#include "base/error.h"

#include <cstdio>
#include <cstdlib>

namespace frugal {

namespace {
std::string compose(const std::string& where, const std::string& what, const std::string& remedy) {
  std::string s = where.empty() ? what : where + ": " + what;
  if (!remedy.empty()) s += "; " + remedy;
  return s;
}
}  // namespace

Error::Error(const std::string& where, const std::string& what, const std::string& remedy)
    : std::runtime_error(compose(where, what, remedy)) {}

void fail(const std::string& where, const std::string& what, const std::string& remedy) {
  throw Error(where, what, remedy);
}

void assertion_failed(const char* file, int line, const std::string& message) {
  std::fprintf(stderr, "frugal: assertion failed at %s:%d: %s\n", file, line, message.c_str());
  std::abort();
}

}  // namespace frugal

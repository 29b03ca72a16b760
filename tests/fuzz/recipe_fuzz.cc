// libFuzzer: read_recipe on any bytes. What it accepts can be written as a resolved recipe and read again.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "memory_file.h"
#include "train/recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace frugal;
  test::MemoryFile input, written;
  if (!input.fill(data, size)) return 0;
  std::string text;
  try {
    const train::Recipe recipe = train::read_recipe(input.path(), {});
    train::check_recipe(recipe);  // no other is ever written
    text = train::recipe_to_toml(recipe);
  } catch (const Error&) {
    // The right answer to a file that is wrong.
  }
  if (text.empty() || !written.fill(text.data(), text.size())) return 0;
  std::string again;
  try {
    again = train::recipe_to_toml(train::read_recipe(written.path(), {}));
  } catch (const Error& e) {
    std::fprintf(stderr, "a written recipe cannot be read: %s\n", e.what());
    std::abort();
  }
  if (again != text) {
    std::fprintf(stderr, "the recipe changes when it is written and read\n");
    std::abort();
  }
  return 0;
}

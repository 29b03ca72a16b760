// Rules of the tree that no compiler checks: which folder may include which, one list of parameter names,
// flags.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

struct Source {
  std::string name, folder, text;  // name relative to src/
  bool test;
};
std::vector<Source> sources() {
  const fs::path root = fs::path(FRUGAL_SOURCE_DIR) / "src";
  std::vector<Source> all;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const std::string extension = entry.path().extension().string();
    if (extension != ".h" && extension != ".cc" && extension != ".inl") continue;
    const std::string name = fs::relative(entry.path(), root).string();
    all.push_back({name, name.substr(0, name.find('/')), read(entry.path()),
                   name.find("_test.cc") != std::string::npos || name == "kernels/reference.h"});
  }
  return all;
}

TEST(Tree, IncludesFollowTheArrows) {
  const std::map<std::string, std::set<std::string>> allowed = {
      {"base", {}},
      {"kernels", {"base"}},
      {"text", {"base"}},
      {"data", {"base", "text"}},
      {"model", {"base", "kernels"}},
      {"infer", {"base", "kernels", "model"}},
      {"train", {"base", "kernels", "model", "infer", "text", "data"}},
      {"eval", {"base", "kernels", "model", "infer", "text", "data", "train"}},
      {"cost", {"base", "kernels", "model", "infer"}},
      {"report", {"base", "kernels", "model", "train", "cost"}},
      {"cli", {"cost", "base", "kernels", "model", "infer", "text", "data", "train", "eval", "report"}},
  };
  const std::regex include("#include \"([a-z]+)/");
  size_t seen = 0;
  for (const Source& s : sources()) {
    ASSERT_TRUE(allowed.count(s.folder)) << s.name << ": add the folder to the table";
    if (s.test) continue;
    for (std::sregex_iterator it(s.text.begin(), s.text.end(), include), end; it != end; ++it, ++seen) {
      const std::string to = (*it)[1];
      EXPECT_TRUE(to == s.folder || allowed.at(s.folder).count(to)) << s.name << " includes " << to << "/";
    }
  }
  EXPECT_GT(seen, 100u);
}

TEST(Tree, ParameterNamesStandInOneTable) {
  // Golden files name the router's gradients and biases (the verifier reads those); eh_proj_out is an
  // activation.
  const std::set<std::string> exceptions = {"model/params.cc", "eval/verify_gradients.cc",
                                            "eval/w8a8_reference.cc"};
  const std::regex name(
      "\"[^\"\n]*(q_a_proj|q_b_proj|kv_a_proj|kv_b_proj|o_proj|gate_proj|up_proj|down_proj|eh_proj(?!_out)|"
      "_layernorm|embed_tokens|e_score_correction_bias|shared_head(?!_norm)|lm_head)[^\"\n]*\"");
  for (const Source& s : sources()) {
    if (s.test || exceptions.count(s.name)) continue;
    std::smatch m;
    EXPECT_FALSE(std::regex_search(s.text, m, name)) << s.name << " names a parameter: " << m[0];
  }
  const std::string table = read(fs::path(FRUGAL_SOURCE_DIR) / "src/model/params.cc");
  EXPECT_TRUE(std::regex_search(table, name));
}

TEST(Tree, NoLibraryFunctionDecidesABit) {
  const std::regex libm(
      "std::(exp|log|pow|sin|cos|tanh|exp2|log2|shuffle|[a-z_]*_distribution)\\b|\\b(expf|logf|powf|sinf|"
      "cosf|rand)\\(");
  for (const Source& s : sources()) {
    if (s.test) continue;
    std::smatch m;
    EXPECT_FALSE(std::regex_search(s.text, m, libm)) << s.name << " uses " << m[0];
  }
}

TEST(Tree, LevelFilesIncludeOnlyIntrinsicsAndTheirOwn) {
  const std::regex include("#include [<\"]([^>\"]*)[>\"]");
  const std::set<std::string> allowed = {"immintrin.h", "kernels/level.h", "stdint.h", "signal.h",
                                         "ucontext.h"};  // what a processor lacks, emulated
  size_t levels = 0;
  for (const Source& s : sources()) {
    if (s.name.rfind("kernels/levels/", 0) != 0) continue;
    ++levels;
    for (std::sregex_iterator it(s.text.begin(), s.text.end(), include), end; it != end; ++it) {
      const std::string to = (*it)[1];
      EXPECT_TRUE(allowed.count(to) || to.rfind("kernels/levels/", 0) == 0) << s.name << " includes " << to;
    }
  }
  EXPECT_GE(levels, 8u);
}

TEST(Tree, NoFileIsTooLong) {
  for (const Source& s : sources()) EXPECT_LE(std::count(s.text.begin(), s.text.end(), '\n'), 700) << s.name;
}

TEST(Tree, FlagsKeepTheContract) {
  const fs::path path = fs::path(FRUGAL_BUILD_DIR) / "compile_commands.json";
  if (!fs::exists(path)) GTEST_SKIP() << "no compile_commands.json in this build";
  size_t files = 0;
  for (const auto& entry : nlohmann::json::parse(read(path))) {
    const std::string command = entry.at("command").get<std::string>();
    ++files;
    EXPECT_NE(command.find("-ffp-contract=off"), std::string::npos) << command;
    for (const char* banned :
         {"-ffast-math", "-Ofast", "-march=native", "-funsafe-math", "-fassociative-math"})
      EXPECT_EQ(command.find(banned), std::string::npos) << command;
  }
  EXPECT_GT(files, 50u);
}

}  // namespace

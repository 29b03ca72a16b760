#include "data/sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "data/byte_reader.h"

namespace frugal::data {

namespace fs = std::filesystem;

namespace {
// "0.7:path" into its parts; a path that exists is never taken apart.
Source parse_entry(const std::string& entry) {
  Source source;
  source.name = source.path = entry;
  const size_t colon = entry.find(':');
  std::error_code ec;
  if (colon == std::string::npos || colon == 0 || fs::exists(entry, ec)) return source;
  double weight = 0;
  const auto [end, error] = std::from_chars(entry.data(), entry.data() + colon, weight);
  if (end != entry.data() + colon) return source;
  if (error != std::errc() || !(weight > 0 && weight < 1e9))
    fail(entry, "the weight is out of range", "use a positive number: 0.7:PATH");
  source.weight = weight;
  source.path = entry.substr(colon + 1);
  return source;
}

bool wanted(const std::string& path, const std::vector<std::string>& extensions) {
  const std::string name = without_compression(path);
  return extensions.empty() || std::any_of(extensions.begin(), extensions.end(),
                                           [&](const std::string& e) { return name.ends_with(e); });
}

std::vector<std::string> files_in(const std::string& folder, const std::vector<std::string>& extensions) {
  std::vector<std::string> files;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(folder, error);
       !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    std::error_code ignored;
    if (it->path().filename().string().starts_with('.')) {
      if (it->is_directory(ignored)) it.disable_recursion_pending();
      continue;
    }
    // A link to nothing is kept: reading reports it.
    const bool dangling = it->is_symlink(ignored) && !it->exists(ignored);
    if ((dangling || it->is_regular_file(ignored)) && wanted(it->path().string(), extensions))
      files.push_back(it->path().string());
  }
  if (error) fail(folder, "cannot be read: " + error.message(), "check the permissions");
  if (files.empty())
    fail(folder, extensions.empty() ? "holds no file" : "holds no file with one of the extensions",
         "give a folder with text");
  std::sort(files.begin(), files.end());
  return files;
}
}  // namespace

bool is_jsonl(const std::string& path) { return without_compression(path).ends_with(".jsonl"); }

bool is_shard_directory(const std::string& path) { return file_exists(path + "/shards.json"); }

std::vector<Source> find_sources(const std::vector<std::string>& data,
                                 const std::vector<std::string>& extensions) {
  if (data.empty()) fail("data", "no file is given", "name at least one text or .jsonl file, or a folder");
  std::vector<Source> sources;
  size_t weighted = 0, inputs = 0;
  for (const std::string& entry : data) {
    Source s = parse_entry(entry);
    weighted += s.weight > 0;
    if (is_standard_input(s.path)) {
      if (++inputs > 1) fail(entry, "standard input can be read once only", "name it once");
      s.files = {s.path};
    } else if (is_directory(s.path)) {
      s.shards = is_shard_directory(s.path);
      if (!s.shards) s.files = files_in(s.path, extensions);
    } else {
      std::error_code ec;
      if (!fs::exists(fs::symlink_status(s.path, ec))) fail(s.path, "no such file", "check the path");
      s.files = {s.path};
    }
    sources.push_back(std::move(s));
  }
  if (weighted != 0 && weighted != sources.size())
    fail("data", fmt::format("{} of {} entries have a weight", weighted, sources.size()),
         "give every entry a weight (0.7:PATH), or none");
  return sources;
}

int64_t bytes_on_disk(const std::vector<std::string>& files) {
  int64_t bytes = 0;
  for (const std::string& f : files) {
    if (is_standard_input(f)) return -1;
    std::error_code ec;
    const auto size = fs::file_size(f, ec);
    if (!ec) bytes += static_cast<int64_t>(size);
  }
  return bytes;
}

}  // namespace frugal::data

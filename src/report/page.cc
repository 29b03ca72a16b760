#include "report/page.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file_lock.h"
#include "base/files.h"
#include "base/log.h"

namespace frugal::report {

namespace {
constexpr size_t kMostRuns = 8;  // colours that can be told apart

std::string_view page_file(std::string_view name) {
  for (const auto& [n, text] : page_files())
    if (n == name) return text;
  fail(std::string(name), "is not built in");
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

// JSON inside <script>: "<" occurs only inside strings, where \u003c says the same.
std::string escape_script(const std::string& json) {
  std::string out;
  out.reserve(json.size());
  for (const char c : json) {
    if (c == '<')
      out += "\\u003c";
    else
      out += c;
  }
  return out;
}
}  // namespace

std::string run_name(const std::string& directory) {
  std::filesystem::path path(directory);
  if (path.filename().empty()) path = path.parent_path();
  if (path.filename() == "." || path.filename() == "..")
    path = std::filesystem::absolute(path).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();
  return path.filename().string();
}

size_t points_per_run(size_t runs) { return std::max<size_t>(250, 1000 / std::max<size_t>(1, runs)); }

std::string page_html(const std::string& title, const std::vector<std::string>& runs) {
  std::string data = "{\"runs\":[";
  for (size_t i = 0; i < runs.size(); ++i) data += (i ? "," : "") + runs[i];
  data += "]}";
  const std::vector<std::pair<std::string_view, std::string>> parts = {
      {"{{title}}", escape_html(title)},
      {"{{style}}", std::string(page_file("page.css"))},
      {"{{data}}", escape_script(data)},
      {"{{script}}", std::string(page_file("charts.js")) + std::string(page_file("page.js"))}};
  // In the template's order, so that nothing is replaced inside a part.
  std::string_view rest = page_file("page.html");
  std::string html;
  for (const auto& [mark, text] : parts) {
    const size_t at = rest.find(mark);
    FRUGAL_ASSERT(at != std::string_view::npos, "page.html has no {}", mark);
    html += std::string(rest.substr(0, at)) + text;
    rest.remove_prefix(at + mark.size());
  }
  return html + std::string(rest);
}

std::string page_data_script(const std::string& run) {
  return "frugalReport({\"runs\":[" + escape_script(run) + "]});\n";
}

void write_page(const RunFacts& facts, const train::Recipe& recipe, const RunLog& log) {
  const std::string run = run_json(facts, recipe, log);
  write_file_atomic(facts.directory + "/report.html", page_html(facts.name, {run}));
  write_file_atomic(facts.directory + "/report-data.js", page_data_script(run));
}

std::string report_runs(const std::vector<std::string>& directories, const std::string& out) {
  if (directories.size() > kMostRuns)
    fail("frugal report", fmt::format("{} runs are too many for one page", directories.size()),
         fmt::format("name at most {}", kMostRuns));
  std::vector<std::string> runs, names;
  for (const std::string& d : directories) names.push_back(run_name(d));
  for (size_t i = 0; i < directories.size(); ++i) {
    const std::string& directory = directories[i];
    if (!file_exists(directory + "/recipe.toml"))
      fail(directory, "is not a run directory", "it holds no recipe.toml");
    const train::Recipe recipe = train::read_recipe(directory + "/recipe.toml", {});
    RunLog log(recipe, points_per_run(directories.size()));
    if (file_exists(directory + "/log.jsonl")) log.read(directory + "/log.jsonl");
    if (log.damaged > 0)
      warn("{}/log.jsonl: {} damaged lines are left out, the first is line {}", directory, log.damaged,
           log.damaged_lines[0]);
    if (log.last_step == 0)
      fail(directory, "has no steps yet",
           "its log.jsonl holds no training step; run `frugal train --resume " + directory + "` or wait");
    RunFacts facts;
    facts.directory = directory;
    facts.name = std::count(names.begin(), names.end(), names[i]) > 1 ? directory : names[i];
    facts.state = log.last_step >= recipe.steps ? RunState::kFinished
                  : is_locked(directory)        ? RunState::kRunning
                                                : RunState::kStopped;
    if (directories.size() == 1 && out.empty()) {
      write_page(facts, recipe, log);
      return directory + "/report.html";
    }
    runs.push_back(run_json(facts, recipe, log));
  }
  std::string title = names[0];
  for (size_t i = 1; i < names.size(); ++i) title += ", " + names[i];
  const std::string file = out.empty() ? "report.html" : out;
  write_file_atomic(file, page_html(title, runs));
  return file;
}

}  // namespace frugal::report

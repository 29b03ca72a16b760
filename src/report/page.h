// report.html: one page without outside parts, from the files page.html, page.css and page.js of this folder.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "report/run_data.h"

namespace frugal::report {

// The files by name, embedded at build time (cmake/embed_files.cmake).
const std::vector<std::pair<std::string_view, std::string_view>>& page_files();

// runs: results of run_json. Text from the runs cannot end the script that carries it.
std::string page_html(const std::string& title, const std::vector<std::string>& runs);
// report-data.js, which an open page reads while the run goes on.
std::string page_data_script(const std::string& run);

// Writes report.html and report-data.js of a run directory; complete files replace older ones.
void write_page(const RunFacts& facts, const train::Recipe& recipe, const RunLog& log);

// `frugal report`: the page of one or several run directories. out: empty for report.html in the only one.
// Returns where it was written. Throws Error for what is no run or has no steps yet.
std::string report_runs(const std::vector<std::string>& directories, const std::string& out);

// "book" of runs/book.
std::string run_name(const std::string& directory);
// Points of a curve when so many runs share a page.
size_t points_per_run(size_t runs);

}  // namespace frugal::report

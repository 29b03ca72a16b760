#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "report/page.h"
#include "report/run_line.h"

namespace frugal::report {
namespace {

using nlohmann::json;

train::Recipe small_recipe() {
  return train::load_recipe("nano", {"data=a.txt", "out=runs/x", "num_hidden_layers=2", "n_routed_experts=4",
                                     "n_group=2", "topk_group=1", "num_experts_per_tok=2", "steps=100000"});
}

std::string step_line(int64_t step, double loss) {
  return fmt::format(
      R"({{"step":{},"loss":{},"grad_norm":1,"grad_norms":[1,2,3,4,5],"lr":0.001,"seconds":0.5,)"
      R"("tokens_per_second":4096,"peak_share":0.25,"mtp_loss":4}})",
      step, loss);
}
std::string expert_line(int64_t step) {
  return fmt::format(
      R"({{"step":{},"expert_tokens":[[0,10,20,10],[10,10,10,10]],"router_bias":[[-0.5,0,0.5,0.25],[0,0,0,0]]}})",
      step);
}

// A run directory that is removed again.
struct RunDirectory {
  explicit RunDirectory(const std::string& name)
      : path("/tmp/frugal_report_" + std::to_string(getpid()) + "/" + name) {
    make_directories(path + "/samples");
  }
  ~RunDirectory() { remove_all(path); }
  void write(const std::string& name, const std::string& text) const {
    write_file_atomic(path + "/" + name, text);
  }
  std::string path;
};

json page_data(const std::string& html) {
  const std::string mark = "type=\"application/json\">";
  const size_t at = html.find(mark) + mark.size();
  return json::parse(html.substr(at, html.find("</script>", at) - at));
}
size_t occurrences(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(Series, ASpikeOfOneStepSurvives) {
  Series s(1, 100);
  for (int64_t step = 1; step <= 12345; ++step) {
    const double v = step == 7777 ? 99 : step == 8888 ? -99 : 1;
    s.add(step, std::vector<double>{v});
  }
  EXPECT_LE(s.size(), 100u);
  EXPECT_GT(s.size(), 40u);
  double low = 0, high = 0, sum = 0;
  for (size_t b = 0; b < s.size(); ++b) {
    low = std::min(low, s.min(b, 0));
    high = std::max(high, s.max(b, 0));
    EXPECT_TRUE(b == 0 || s.step(b) > s.step(b - 1));
    EXPECT_TRUE(s.step(b) % s.width() == 0 || b + 1 == s.size());
    EXPECT_EQ(s.max(b, 0) == 99, s.step(b) == (7776 / s.width() + 1) * s.width());
    sum += s.mean(b, 0) *
           static_cast<double>(b + 1 < s.size() ? s.width() : 12345 - (12344 / s.width()) * s.width());
  }
  EXPECT_EQ(low, -99);
  EXPECT_EQ(high, 99);
  EXPECT_NEAR(sum, 12343, 1e-6);  // means keep the sum: the spikes cancel
  EXPECT_EQ(s.step(s.size() - 1), 12345);
}

TEST(Series, AbsentValuesAreNoZeros) {
  Series s(2, 2);
  for (int64_t step = 1; step <= 8; ++step) s.add(step, std::vector<double>{1, kAbsent});
  EXPECT_EQ(s.mean(0, 0), 1);
  EXPECT_TRUE(std::isnan(s.mean(0, 1)));
  EXPECT_TRUE(std::isnan(s.max(1, 1)));
}

TEST(ExpertHistory, ColumnsAreMeansAndTheirCodesReadBack) {
  ExpertHistory e(2, 4);
  for (int64_t step = 1; step <= 10; ++step) e.add(step, {step % 2 == 0 ? 2.0f : 0.0f, 4.0f}, {0.5f, -1.0f});
  ASSERT_EQ(e.columns(), 3u);  // of 4, 4 and 2 lines
  EXPECT_EQ(e.step(0), 4);
  EXPECT_EQ(e.step(2), 10);
  EXPECT_EQ(e.load(1, 0), 1.0f);
  EXPECT_EQ(e.bias(2, 1), -1.0f);
  // 1 -> 128, 4 -> 128 + 64; of a scale of 1: 0.5 -> 191.5, -1 -> 1.
  EXPECT_EQ(e.load_base64(), base64({128, 128, 128, 192, 192, 192}));
  EXPECT_EQ(e.bias_base64(e.largest_bias()), base64({192, 192, 192, 1, 1, 1}));
}

TEST(ExpertHistory, Base64HasTheAnswersOfRfc4648) {
  EXPECT_EQ(base64({}), "");
  EXPECT_EQ(base64({'f'}), "Zg==");
  EXPECT_EQ(base64({'f', 'o'}), "Zm8=");
  EXPECT_EQ(base64({'f', 'o', 'o'}), "Zm9v");
  EXPECT_EQ(base64({'f', 'o', 'o', 'b', 'a', 'r'}), "Zm9vYmFy");
}

TEST(RunLog, DamagedLinesAreCountedNamedAndLeftOut) {
  RunLog log(small_recipe(), 100);
  log.add(step_line(1, 5));
  log.add("{\"step\":2,\"lo");
  log.add(step_line(2, 4));
  log.add(step_line(2, 3));                                            // again
  log.add(R"({"step":3,"loss":"low"})");                               // not a number
  log.add(R"({"step":-1,"loss":1})");                                  // not a step
  log.add(R"({"step":3,"loss":1,"grad_norms":[1]})");                  // of another model
  log.add(R"({"step":3,"expert_tokens":[[1]],"router_bias":[[1]]})");  // as well
  log.add(R"({"step":3,"something":"of a later version"})");
  log.add(step_line(3, 2));
  EXPECT_EQ(log.damaged, 6);
  EXPECT_EQ(log.damaged_lines, (std::vector<int64_t>{2, 4, 5, 6, 7}));
  EXPECT_EQ(log.last_step, 3);
  EXPECT_EQ(log.last_loss, 2);
  EXPECT_EQ(log.steps.size(), 3u);
  EXPECT_EQ(log.seconds, 1.5);
}

TEST(RunLog, BestValidationIsRemembered) {
  RunLog log(small_recipe(), 100);
  log.add(R"({"step":10,"val_loss":3,"val_bits_per_byte":2})");
  log.add(R"({"step":20,"val_loss":2,"val_bits_per_byte":1.5,"mtp_acceptance":0.5})");
  log.add(R"({"step":30,"val_loss":4,"val_bits_per_byte":2.5})");
  EXPECT_EQ(log.best_step, 20);
  EXPECT_EQ(log.best_bits, 1.5);
  EXPECT_EQ(log.last_bits, 2.5);
  EXPECT_EQ(log.damaged, 0);
}

TEST(RunLog, NamesFollowTheModel) {
  const RunLog log(small_recipe(), 100);
  EXPECT_EQ(log.group_names, (std::vector<std::string>{"embedding", "layer 0", "layer 1", "output", "MTP"}));
  EXPECT_EQ(log.moe_layers, (std::vector<std::string>{"layer 1", "MTP"}));
}

TEST(Page, IsSmallAfterAHundredThousandSteps) {
  const train::Recipe recipe = small_recipe();
  RunLog log(recipe, points_per_run(1));
  for (int64_t step = 1; step <= 100000; ++step) {
    log.add(step_line(step, step == 54321 ? 77.5 : 2 + 1.0 / static_cast<double>(step)));
    if (step % 10 == 0) log.add(expert_line(step));
  }
  const std::string run = run_json({"/nowhere", "x", RunState::kFinished}, recipe, log);
  EXPECT_LT(run.size(), 500000u);
  const json data = json::parse(run);
  EXPECT_GE(data["step_axis"].size(), 500u);
  EXPECT_NE(std::find(data["loss"]["max"].begin(), data["loss"]["max"].end(), 77.5),
            data["loss"]["max"].end());
  EXPECT_EQ(log.damaged, 0);
}

TEST(Page, TextFromARunStaysText) {
  const RunDirectory run("book <b>&\"");
  train::Recipe recipe = small_recipe();
  recipe.sample_prompt = "</script><script>alert(1)</script>";
  run.write("recipe.toml", train::recipe_to_toml(recipe));
  run.write("log.jsonl", step_line(1, 5) + "\n" + step_line(2, 4) + "\n{\"step\":3,\"lo");
  run.write("samples/step-00000001.txt",
            "</script><img src=x onerror=alert(2)> <!-- \xff\xfe \xe2\x80\xa8 ok\n");
  EXPECT_EQ(report_runs({run.path}, ""), run.path + "/report.html");
  const std::string html = read_file(run.path + "/report.html");
  EXPECT_EQ(occurrences(html, "</script>"), 2u);
  EXPECT_EQ(occurrences(html, "<img"), 0u);
  EXPECT_EQ(occurrences(html, "<!--"), 0u);
  EXPECT_NE(html.find("<title>book &lt;b&gt;&amp;&quot;</title>"), std::string::npos);
  const json data = page_data(html)["runs"][0];
  EXPECT_EQ(data["name"], "book <b>&\"");
  EXPECT_EQ(data["damaged"]["count"], 0);  // the last line is being written
  EXPECT_TRUE(
      data["samples"][0]["text"].get<std::string>().starts_with("</script><img src=x onerror=alert(2)>"));
  const std::string script = read_file(run.path + "/report-data.js");
  EXPECT_TRUE(script.starts_with("frugalReport({\"runs\":["));
  EXPECT_EQ(script.find('<'), std::string::npos);
}

TEST(Page, HoldsWhatDiffersFromThePreset) {
  const RunDirectory run("r");
  train::Recipe recipe = small_recipe();
  recipe.learning_rate = 1e-4;
  run.write("recipe.toml", train::recipe_to_toml(recipe));
  run.write("log.jsonl", step_line(1, 5) + "\n");
  report_runs({run.path}, "");
  const json table = page_data(read_file(run.path + "/report.html"))["runs"][0]["recipe"];
  EXPECT_EQ(table["base"], "nano preset");
  std::vector<std::string> changed;
  for (const json& row : table["rows"])
    if (row.contains("base")) changed.push_back(row["key"]);
  EXPECT_EQ(changed, (std::vector<std::string>{"num_hidden_layers", "n_routed_experts", "num_experts_per_tok",
                                               "n_group", "topk_group", "steps", "learning_rate"}));
}

TEST(Page, SeveralRunsShareOne) {
  const RunDirectory a("a"), b("b");
  for (const RunDirectory* run : {&a, &b}) {
    run->write("recipe.toml", train::recipe_to_toml(small_recipe()));
    run->write("log.jsonl", step_line(1, run == &a ? 5 : 6) + "\n" + expert_line(1) + "\n");
  }
  const std::string out = a.path + "/both.html";
  EXPECT_EQ(report_runs({a.path, b.path + "/"}, out), out);
  const json runs = page_data(read_file(out))["runs"];
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0]["name"], "a");
  EXPECT_EQ(runs[1]["name"], "b");
  EXPECT_EQ(runs[1]["loss"]["mean"][0], 6);
  EXPECT_EQ(runs[0]["experts"]["layers"], json({"layer 1", "MTP"}));
  EXPECT_FALSE(file_exists(a.path + "/report.html"));
}

TEST(Page, RefusesWhatIsNoRun) {
  const RunDirectory run("empty");
  EXPECT_THROW(report_runs({run.path}, ""), Error);
  run.write("recipe.toml", train::recipe_to_toml(small_recipe()));
  EXPECT_THROW(report_runs({run.path}, ""), Error);  // no log
  run.write("log.jsonl", expert_line(1) + "\n");
  EXPECT_THROW(report_runs({run.path}, ""), Error);  // no step
  EXPECT_THROW(report_runs(std::vector<std::string>(9, run.path), ""), Error);
  EXPECT_FALSE(file_exists(run.path + "/report.html"));
}

TEST(Page, RunNamesAreLastNames) {
  EXPECT_EQ(run_name("runs/book"), "book");
  EXPECT_EQ(run_name("runs/book/"), "book");
  EXPECT_EQ(run_name("/"), "");
  EXPECT_FALSE(run_name(".").empty());
}

train::Progress some_progress() {
  train::Progress p;
  p.step = 12;
  p.steps = 600;
  p.smooth_loss = 3.25;
  p.tokens_per_second = 5600;
  p.peak_share = 0.59;
  p.eta_seconds = 65;
  p.report.mtp_loss = 4;
  p.report.grad_norm = 0.5;
  p.report.learning_rate = 2e-3;
  return p;
}

TEST(RunLine, FitsTheTerminalAndDropsTheLeastFirst) {
  LossHistory losses;
  for (int i = 0; i < 500; ++i) losses.add(500 - i);
  EXPECT_LE(losses.means().size(), 64u);
  EXPECT_GT(losses.means().front(), losses.means().back());
  Terminal t{.ansi = true, .color = false, .utf8 = true, .columns = 120};
  const std::string wide = run_line(some_progress(), losses, t);
  EXPECT_NE(wide.find("step 12/600  loss 3.2500 █"), std::string::npos) << wide;
  EXPECT_NE(wide.find("ETA 1 min 5 s  5.60 k tok/s (59 % of peak)  |g| 0.50"), std::string::npos) << wide;
  for (t.columns = 20; t.columns < 160; ++t.columns) {
    const std::string line = run_line(some_progress(), losses, t);
    EXPECT_LT(display_width(line), std::max(30, t.columns)) << line;
    EXPECT_EQ(line.find("lr") != std::string::npos && line.find("mtp") == std::string::npos, false) << line;
  }
  t.columns = 45;
  EXPECT_EQ(run_line(some_progress(), losses, t).find("|g|"), std::string::npos);
  t.utf8 = false;
  t.columns = 120;
  const std::string ascii = run_line(some_progress(), losses, t);
  EXPECT_TRUE(std::all_of(ascii.begin(), ascii.end(), [](char c) { return c > 0; })) << ascii;
  t.color = true;
  EXPECT_NE(run_line(some_progress(), losses, t).find("\033[36m"), std::string::npos);
  const std::string plain = run_line(some_progress(), losses, Terminal{});
  EXPECT_EQ(plain,
            "step 12/600  loss 3.2500  ETA 1 min 5 s  5.60 k tok/s (59 % of peak)  |g| 0.50  mtp 4.0000  lr "
            "2.00e-03");
}

}  // namespace
}  // namespace frugal::report

// frugal convert IN OUT --dtype bf16|f32|fp8 and frugal quantize IN OUT --format int8|int4: a model directory
// in another stored format, sharded, with checksums.
#include "model/convert.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/math64.h"
#include "base/memory.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/model_argument.h"
#include "cli/stored_format.h"
#include "eval/divergence.h"
#include "model/manifest.h"
#include "text/tokenizer.h"

namespace frugal::cli {

namespace {
struct ConvertOptions {
  std::string from, to, format, shard_size = "5GB", evaluate, calibrate;
  int64_t evaluate_tokens = 4096, calibrate_tokens = 32768;
  int threads = 0;
  bool verify = false;
};

// Two commands with one body.
struct Command {
  const char *name, *what, *option, *formats;
  bool integers;
};
constexpr Command kConvert = {"convert", "write a model directory in another stored format: bf16, f32 or fp8",
                              "--dtype", "bf16, f32 or fp8 (e4m3 in blocks of 128 x 128)", false};
constexpr Command kQuantize = {"quantize", "write a model directory with int8 or int4 weights", "--format",
                               "int8 or int4 (groups of 128 with a scale)", true};

model::StoredFormat format_argument(const Command& command, const std::string& name) {
  const model::StoredFormat format = stored_format(command.option, name);
  if ((model::bits_of(format) > 0) != command.integers)
    fail(command.option, "'" + name + "' is not one of this command's formats",
         fmt::format("use {}", command.formats));
  return format;
}

// "5GB", "500MB", "2GiB", a plain number of bytes.
int64_t size_argument(const std::string& text) {
  struct Unit {
    const char* name;
    double bytes;
  };
  constexpr Unit units[] = {{"", 1},     {"B", 1},         {"KB", 1e3},      {"MB", 1e6},
                            {"GB", 1e9}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
  double n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  const std::string unit(end, text.data() + text.size());
  for (const Unit& u : units)
    if (ec == std::errc() && unit == u.name && n * u.bytes >= 1 && n * u.bytes < 1e18)
      return static_cast<int64_t>(n * u.bytes);
  fail("--shard-size", "'" + text + "' is not a size", "write 5GB, 500MB, 2GiB or a number of bytes");
}

// Shows each phase with its own rate and remaining time.
class View {
 public:
  void show(const model::ConvertProgress& p) {
    if (phase_ != p.phase) {
      phase_ = p.phase;
      start_ = std::chrono::steady_clock::now();
    }
    const double done = static_cast<double>(p.done), total = static_cast<double>(p.total);
    const double rate = done / std::max(seconds_since(start_), 1e-3);
    line_.show(fmt::format("{}  {:.1f} of {:.1f} MB  {:.0f} MB/s  ETA {}", phase_, done * 1e-6, total * 1e-6,
                           rate * 1e-6, format_seconds(std::max(0.0, total - done) / rate)));
  }

 private:
  ProgressLine line_;
  std::string phase_;
  std::chrono::steady_clock::time_point start_;
};

constexpr int64_t kRow = 512;  // tokens of a row of text

std::vector<int32_t> tokens_of(const std::string& text, const std::string& model, int64_t most) {
  std::vector<int32_t> ids = text::Tokenizer::load(model).encode(text);
  ids.resize(std::min(ids.size(), static_cast<size_t>(most) + 1));
  return ids;
}

model::Calibration calibrate(kernels::Ctx& ctx, const ConvertOptions& o, const std::string& text) {
  const std::string from = model_directory(o.from);
  const std::vector<int32_t> ids = tokens_of(text, from, o.calibrate_tokens);
  const model::ModelConfig config = model::load_config(from);
  const kernels::Operand operand = model::stored_operand(config);
  const int64_t length = std::min(kRow, config.max_position_embeddings);
  const auto m = model::load_model(
      ctx, from, {.operand = operand, .cache_bytes = model::Calibration::memory_bytes(config, operand, length)});
  ProgressLine line;
  const auto start = std::chrono::steady_clock::now();
  return model::Calibration(ctx, *m, ids, length, [&](int64_t done) {
    const double rate = static_cast<double>(done) / seconds_since(start);
    line.show(fmt::format("calibrating  {} of {} tokens  {:.0f} tok/s  ETA {}", done, ids.size() - 1, rate,
                          format_seconds(static_cast<double>(static_cast<int64_t>(ids.size()) - 1 - done) / rate)));
  });
}

// What the new format costs on a text.
void evaluate(kernels::Ctx& ctx, const ConvertOptions& o) {
  const std::string from = model_directory(o.from);
  const std::vector<int32_t> ids = tokens_of(read_file(o.evaluate), from, o.evaluate_tokens);
  const auto load = [&](const std::string& directory) {
    return model::load_model(ctx, directory,
                             {.operand = model::stored_operand(model::load_config(directory))});
  };
  const auto original = load(from), changed = load(o.to);
  const int64_t length = std::min(kRow, original->config.max_position_embeddings);
  const eval::Divergence d = eval::divergence(ctx, *original, *changed, ids, length);
  std::printf(
      "%s, %lld tokens: perplexity %.4f -> %.4f (%+.2f %%), KL %.5f nats per token, top-1 equal %.2f %%\n",
      o.evaluate.c_str(), static_cast<long long>(d.tokens), exp64(d.nll), exp64(d.changed_nll),
      100 * (exp64(d.changed_nll - d.nll) - 1), d.kl, 100 * d.top1);
}

void run_convert(const Command& command, const ConvertOptions& o) {
  model::ConvertOptions options{.format = format_argument(command, o.format),
                                .shard_bytes = size_argument(o.shard_size),
                                .verify = o.verify};
  kernels::Ctx ctx(o.threads);
  const std::string text = o.calibrate.empty() ? "" : read_file(o.calibrate);
  if (!o.calibrate.empty()) {
    options.calibrate = [&] { return calibrate(ctx, o, text); };
    model::Checksum sum;
    sum.add(text.data(), text.size());
    options.calibrated = fmt::format("{} {}", sum.hex(), o.calibrate_tokens);
  }
  const auto start = std::chrono::steady_clock::now();
  model::ConvertReport report;
  {
    View view;
    report = model::convert_model(ctx, model_directory(o.from), o.to, options,
                                  [&](const model::ConvertProgress& p) { view.show(p); });
  }
  const double seconds = seconds_since(start), mb = static_cast<double>(report.bytes) * 1e-6;
  if (report.found > 0)
    info("{} of {} files were finished by an earlier call", report.found, report.shards);
  std::string carried;
  for (const std::string& name : report.carried)
    carried += (carried.empty() ? "; carried over: " : ", ") + name;
  info("wrote {} tensors, {:.1f} MB in {} file{}, to {} in {} ({:.0f} MB/s, peak memory {:.0f} MB){}{}",
       report.tensors, mb, report.shards, report.shards == 1 ? "" : "s", o.to, format_seconds(seconds),
       mb / seconds, static_cast<double>(peak_memory_bytes()) * 1e-6,
       o.verify ? "; read back, every checksum holds" : "", carried);
  if (options.calibrate)
    info("{} of {} matrices were rounded with compensation{}", report.compensated, report.matrices,
         report.compensated < report.matrices ? "; no token of " + o.calibrate + " reached the others" : "");
  if (!o.evaluate.empty()) evaluate(ctx, o);
}
}  // namespace

namespace {
void add(CLI::App& app, const Command& command) {
  auto o = std::make_shared<ConvertOptions>();
  CLI::App* c = app.add_subcommand(command.name, command.what);
  c->add_option("in", o->from, "model or run directory")->required();
  c->add_option("out", o->to, "directory to write; must not exist")->required();
  c->add_option(command.option, o->format, command.formats)->required();
  c->add_option("--shard-size", o->shard_size, "most tensor bytes of a file: 5GB, 500MB, 2GiB, ...")
      ->capture_default_str();
  c->add_option("--threads", o->threads, "threads; 0: as many as the process may use")
      ->check(CLI::Range(0, 1024));
  c->add_flag("--verify", o->verify,
              "read everything back and compare checksums before the directory appears");
  if (command.integers) {
    c->add_option("--calibrate", o->calibrate,
                  "text file: round so that the layers' outputs on it change little; the model must fit the memory")
        ->check(CLI::ExistingFile);
    c->add_option("--calibrate-tokens", o->calibrate_tokens, "of the text, at most")
        ->capture_default_str()
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
    c->add_option("--evaluate", o->evaluate,
                  "text file: perplexity, KL divergence and agreement with the original")
        ->check(CLI::ExistingFile);
    c->add_option("--evaluate-tokens", o->evaluate_tokens, "of the text, at most")
        ->capture_default_str()
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  }
  c->callback([&command, o] { run_convert(command, *o); });
}
}  // namespace

void add_convert_command(CLI::App& app) {
  add(app, kConvert);
  add(app, kQuantize);
}

}  // namespace frugal::cli

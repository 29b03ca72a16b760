// frugal convert IN OUT --dtype bf16|f32|fp8: a model directory in another stored format, sharded, with
// checksums.
#include "model/convert.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/model_argument.h"

namespace frugal::cli {

namespace {
struct Options {
  std::string from, to, dtype, shard_size = "5GB";
  int threads = 0;
  bool verify = false;
};

model::StoredFormat format_argument(const std::string& dtype) {
  if (dtype == "f32") return model::StoredFormat::kF32;
  if (dtype == "bf16") return model::StoredFormat::kBF16;
  if (dtype == "fp8") return model::StoredFormat::kFP8;
  fail("--dtype", "'" + dtype + "' is not a stored format", "use bf16, f32 or fp8");
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

void run(const Options& o) {
  const model::ConvertOptions options{format_argument(o.dtype), size_argument(o.shard_size), o.verify};
  kernels::Ctx ctx(o.threads);
  const auto start = std::chrono::steady_clock::now();
  model::ConvertReport report;
  {
    View view;
    report = model::convert_model(ctx, model_directory(o.from), o.to, options,
                                  [&](const model::ConvertProgress& p) { view.show(p); });
  }
  const double seconds = seconds_since(start), mb = static_cast<double>(report.bytes) * 1e-6;
  std::string carried;
  for (const std::string& name : report.carried)
    carried += (carried.empty() ? "; carried over: " : ", ") + name;
  info("wrote {} tensors, {:.1f} MB in {} file{}, to {} in {} ({:.0f} MB/s, peak memory {:.0f} MB){}{}",
       report.tensors, mb, report.shards, report.shards == 1 ? "" : "s", o.to, format_seconds(seconds),
       mb / seconds, static_cast<double>(peak_memory_bytes()) * 1e-6,
       o.verify ? "; read back, every checksum holds" : "", carried);
}
}  // namespace

void add_convert_command(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c =
      app.add_subcommand("convert", "write a model directory in another stored format: bf16, f32 or fp8");
  c->add_option("in", o->from, "model or run directory")->required();
  c->add_option("out", o->to, "directory to write; must not exist")->required();
  c->add_option("--dtype", o->dtype, "bf16, f32, or fp8 (e4m3 in blocks of 128 x 128)")->required();
  c->add_option("--shard-size", o->shard_size, "most tensor bytes of a file: 5GB, 500MB, 2GiB, ...")
      ->capture_default_str();
  c->add_option("--threads", o->threads, "threads; 0: as many as the process may use")
      ->check(CLI::Range(0, 1024));
  c->add_flag("--verify", o->verify,
              "read everything back and compare checksums before the directory appears");
  c->callback([o] { run(*o); });
}

}  // namespace frugal::cli

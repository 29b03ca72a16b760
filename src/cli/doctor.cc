// frugal doctor: what this machine is, what it can do, and what would make it faster.
#include <sched.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/build.h"
#include "base/memory.h"
#include "cli/commands.h"
#include "kernels/machine.h"

namespace frugal::cli {

namespace {
using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// "always [madvise] never": the word in brackets.
std::string chosen(const std::string& line) {
  const size_t open = line.find('['), close = line.find(']');
  return open == std::string::npos || close == std::string::npos ? line
                                                                 : line.substr(open + 1, close - open - 1);
}

int64_t meminfo(const std::string& wanted) {
  std::ifstream in("/proc/meminfo");
  std::string key, rest;
  for (int64_t kib = 0; in >> key >> kib; std::getline(in, rest))
    if (key == wanted + ":") return kib * 1024;
  return 0;
}

int count_nodes() {
  int n = 0;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator("/sys/devices/system/node", ec))
    n += entry.path().filename().string().starts_with("node") && entry.is_directory();
  return std::max(n, 1);
}

bool has_flag(const std::string& name) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("flags")) return (line + " ").find(" " + name + " ") != std::string::npos;
  return false;
}

struct Facts {
  std::string cpu, level, best_level, huge_pages, governor;
  std::vector<std::string> instructions;
  int cores = 0, allowed = 0, threads = 0, nodes = 0;
  int64_t memory = 0, available = 0, swap_used = 0;
  double load = 0;
  double read_one = 0, read_all = 0, f32 = 0, bf16 = 0, int8 = 0;  // per second, all threads but read_one
};

Facts gather(int threads) {
  Facts f;
  kernels::Ctx one(1), all(threads);
  f.cpu = kernels::cpu_name();
  f.level = all.level.name;
  f.best_level = kernels::available_levels().back();
  for (const char* flag :
       {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8"})
    if (has_flag(flag)) f.instructions.push_back(flag);
  f.cores = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  f.allowed = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : f.cores;
  f.threads = all.pool.size();
  f.nodes = count_nodes();
  f.memory = meminfo("MemTotal");
  f.available = available_memory_bytes();
  f.swap_used = meminfo("SwapTotal") - meminfo("SwapFree");
  f.huge_pages = chosen(first_line("/sys/kernel/mm/transparent_hugepage/enabled"));
  f.governor = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  std::ifstream("/proc/loadavg") >> f.load;
  f.read_one = kernels::read_bandwidth(one);
  f.read_all = kernels::read_bandwidth(all);
  f.f32 = kernels::measure_machine(all, kernels::Operand::kF32).flops;
  f.bf16 = kernels::measure_machine(all, kernels::Operand::kBF16).flops;
  f.int8 = kernels::measure_machine(all, kernels::Operand::kInt8).flops;
  return f;
}

std::vector<std::string> advice(const Facts& f) {
  std::vector<std::string> lines;
  const auto add = [&](std::string line) { lines.push_back(std::move(line)); };
  if (f.level != f.best_level)
    add(fmt::format("FRUGAL_ISA asks for level {}; without it {} is used, with the same bits", f.level,
                    f.best_level));
  if (has_flag("amx_bf16") && f.best_level != "amx")
    add("this processor has AMX, but level amx cannot run: the system does not let this process use it "
        "(Linux 5.16 or later does), or a warning above says that its bits differ");
  if (f.level == "avx2" || f.level == "scalar")
    add("no AVX-512: bf16 products cost a fifth more than f32; train with precision=f32 where memory allows");
  if (f.huge_pages == "never")
    add("transparent huge pages are off: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (as "
        "root) saves "
        "several percent of address translation");
  if (!f.governor.empty() && f.governor != "performance")
    add(fmt::format("the clock governor is '{}': cpupower frequency-set -g performance (as root)",
                    f.governor));
  if (f.threads < f.allowed)
    add(fmt::format(
        "{} of {} usable processors are used: a quota of the control group (cpu.max) or --threads", f.threads,
        f.allowed));
  if (f.allowed < f.cores)
    add(fmt::format("the process may use {} of {} processors (taskset, cpuset)", f.allowed, f.cores));
  if (f.nodes > 1)
    add(fmt::format(
        "{} NUMA nodes: frugal does not place weights by node yet; numactl --interleave=all spreads them",
        f.nodes));
  if (f.swap_used > f.memory / 100)
    add(fmt::format("{:.1f} GiB are swapped out: leave more memory free",
                    static_cast<double>(f.swap_used) / 1073741824.0));
  if (f.load > 0.3 * f.cores)
    add(fmt::format(
        "other work runs here (load {:.2f} on {} processors): figures below are lower than the machine's",
        f.load, f.cores));
  if (f.read_all < 1.3 * f.read_one && f.threads > 1)
    add("all threads together read memory hardly faster than one: decoding will not scale with threads");
  return lines;
}

Json to_json(const Facts& f) {
  return {{"version", kVersion},
          {"compiler", kCompiler},
          {"cpu", f.cpu},
          {"instructions", f.instructions},
          {"level", f.level},
          {"processors", f.cores},
          {"usable", f.allowed},
          {"threads", f.threads},
          {"numa_nodes", f.nodes},
          {"memory_bytes", f.memory},
          {"available_bytes", f.available},
          {"transparent_huge_pages", f.huge_pages},
          {"governor", f.governor},
          {"load", f.load},
          {"read_bytes_per_second_1_thread", f.read_one},
          {"read_bytes_per_second", f.read_all},
          {"f32_flops", f.f32},
          {"bf16_flops", f.bf16},
          {"int8_ops", f.int8},
          {"advice", advice(f)}};
}

void print(const Facts& f) {
  std::string instructions;
  for (const std::string& i : f.instructions) instructions += (instructions.empty() ? "" : ", ") + i;
  const auto gib = [](int64_t n) { return static_cast<double>(n) / 1073741824.0; };
  std::printf("frugal      %s, %s\n", kVersion, kCompiler);
  std::printf("processor   %s; %d processors, %d usable, %d threads; %d NUMA node%s\n", f.cpu.c_str(),
              f.cores, f.allowed, f.threads, f.nodes, f.nodes == 1 ? "" : "s");
  std::printf("has         %s\n", instructions.c_str());
  std::printf("level       %s\n", f.level.c_str());
  std::printf("memory      %.1f GiB, %.1f available; transparent huge pages: %s\n", gib(f.memory),
              gib(f.available), f.huge_pages.empty() ? "unknown" : f.huge_pages.c_str());
  std::printf("reads       %.1f GB/s with one thread, %.1f with %d: the limit of decoding\n",
              f.read_one * 1e-9, f.read_all * 1e-9, f.threads);
  std::printf(
      "products    f32 %.0f GFLOP/s, bf16 %.0f, int8 %.0f Gop/s: the limits of training and prefill\n\n",
      f.f32 * 1e-9, f.bf16 * 1e-9, f.int8 * 1e-9);
  const std::vector<std::string> lines = advice(f);
  if (lines.empty()) std::printf("Nothing that would make it faster was found.\n");
  for (const std::string& line : lines) std::printf("- %s\n", line.c_str());
}
}  // namespace

void add_doctor_command(CLI::App& app) {
  struct Options {
    int threads = 0;
    bool json = false;
  };
  auto o = std::make_shared<Options>();
  CLI::App* c =
      app.add_subcommand("doctor", "what this machine is, what it can do, what would make it faster");
  c->add_option("-t,--threads", o->threads, "0: every core")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  c->add_flag("--json", o->json, "one object");
  c->callback([o] {
    const Facts f = gather(o->threads);
    if (o->json)
      std::printf("%s\n", to_json(f).dump(2).c_str());
    else
      print(f);
  });
}

}  // namespace frugal::cli

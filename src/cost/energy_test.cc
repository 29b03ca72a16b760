#include "cost/energy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace frugal::cost {
namespace {

class EnergyTest : public testing::Test {
 protected:
  void set(const std::string& domain, double energy) {
    std::filesystem::create_directories(root + "/" + domain);
    std::ofstream(root + "/" + domain + "/energy_uj") << static_cast<int64_t>(energy) << "\n";
    std::ofstream(root + "/" + domain + "/max_energy_range_uj") << "1000000\n";
  }
  void TearDown() override { std::filesystem::remove_all(root); }
  std::string root = "/tmp/frugal_energy_" + std::to_string(getpid());
};

TEST_F(EnergyTest, AddsPackagesAndFollowsWrapping) {
  set("intel-rapl:0", 900000);
  set("intel-rapl:1", 0);
  set("intel-rapl:0:0", 5);  // part of package 0
  EnergyMeter meter(2, root);
  EXPECT_TRUE(meter.measured());
  set("intel-rapl:0", 100000);  // wrapped: 200,000 on
  set("intel-rapl:1", 300000);
  set("intel-rapl:0:0", 999999);
  EXPECT_DOUBLE_EQ(meter.joules(), 0.5);
  EXPECT_DOUBLE_EQ(meter.joules(), 0.5);
}

TEST_F(EnergyTest, EstimatesWithoutMeters) {
  EnergyMeter meter(3, root);
  EXPECT_FALSE(meter.measured());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_GE(meter.joules(), 0.02 * 3 * kWattsPerCore);
  EXPECT_LT(meter.joules(), 60 * 3 * kWattsPerCore);
}

}  // namespace
}  // namespace frugal::cost

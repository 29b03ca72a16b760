#include "base/terminal.h"

#include <gtest/gtest.h>

namespace frugal {
namespace {

TEST(Terminal, WidthCountsColumns) {
  EXPECT_EQ(display_width(""), 0);
  EXPECT_EQ(display_width("abc"), 3);
  EXPECT_EQ(display_width("grüße"), 5);
  EXPECT_EQ(display_width("\033[31mred\033[0m"), 3);
  EXPECT_EQ(display_width("你好"), 4);
  EXPECT_EQ(display_width("██▌"), 3);
}

TEST(Terminal, ClipNeverExceedsTheColumnsAndKeepsColours) {
  EXPECT_EQ(clip("short", 10, true), "short");
  EXPECT_EQ(clip("a longer line", 8, true), "a longe…");
  EXPECT_EQ(clip("a longer line", 8, false), "a lon...");
  EXPECT_EQ(clip("\033[31mred and more\033[0m", 6, true), "\033[31mred a…\033[0m");
  for (int columns = 3; columns < 30; ++columns)
    for (const char* text :
         {"plain text of some length here", "你好你好你好你好你好你好", "a\033[1mb\033[0mcdefghijklmnopqrst"})
      EXPECT_LE(display_width(clip(text, columns, true)), columns);
}

TEST(Terminal, BarsHaveTheirWidth) {
  for (const double share : {-1.0, 0.0, 0.01, 0.33, 0.5, 0.99, 1.0, 2.0})
    for (const bool utf8 : {true, false}) EXPECT_EQ(display_width(bar(share, 17, utf8)), 17) << share;
  EXPECT_EQ(bar(0.5, 4, false), "##..");
  EXPECT_EQ(bar(1, 2, true), "██");
  EXPECT_EQ(bar(0.5, 1, true), "▌");
}

TEST(Terminal, SparkLineGoesFromLowestToHighest) {
  const std::vector<double> values = {1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(spark_line(values, 8, true), "▁▂▃▄▅▆▇█");
  EXPECT_EQ(spark_line(values, 2, true), "▁█");
  EXPECT_EQ(spark_line(std::vector<double>(3, 5.0), 10, true), "▁▁▁");
  EXPECT_EQ(spark_line({}, 10, true), "");
}

}  // namespace
}  // namespace frugal

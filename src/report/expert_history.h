// Expert loads and router biases over a run, kept small: columns of equally many log lines, averaged.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace frugal::report {

class ExpertHistory {
 public:
  // rows: experts of all MoE layers. Both lists of add() hold one value per row.
  ExpertHistory(size_t rows, size_t max_columns) : rows_(rows), max_columns_(max_columns) {}

  // load: an expert's tokens by the mean of its layer.
  void add(int64_t step, std::vector<float> load, std::vector<float> bias);

  size_t columns() const { return columns_.size(); }
  int64_t step(size_t column) const { return columns_[column].step; }  // of the last line in it
  float load(size_t column, size_t row) const;
  float bias(size_t column, size_t row) const;
  // One byte per value, rows of columns, in base64. A load: 0 none, else 128 + 32 log2(load) within 1 .. 255.
  std::string load_base64() const;
  // A bias: 128 + 127 bias / scale.
  std::string bias_base64(float scale) const;
  float largest_bias() const;  // by magnitude

 private:
  struct Column {
    int64_t step;
    int lines;
    std::vector<float> load, bias;  // sums over the lines
  };
  size_t rows_, max_columns_;
  int lines_per_column_ = 1;
  std::vector<Column> columns_;
};

std::string base64(const std::vector<uint8_t>& bytes);

}  // namespace frugal::report

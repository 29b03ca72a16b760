// What enters the matrices of a model on a text: for every group of 128 inputs the sum over tokens of x x^T, from
// which kernels/compensated_rounding.h rounds weights better than one by one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/model.h"

namespace frugal::model {

class Calibration {
 public:
  // Runs `ids` through the model in rows of `length`, each without memory of the one before it. progress(tokens done)
  // is called between them. Throws Error for ids outside the vocabulary and for none.
  Calibration(kernels::Ctx& ctx, Model& model, const std::vector<int32_t>& ids, int64_t length,
              const std::function<void(int64_t)>& progress);
  static int64_t memory_bytes(const ModelConfig& config, kernels::Operand operand, int64_t length);

  // Of a parameter by its Hugging Face name, groups one behind the other, each [n, n] with the n <= 128 inputs that
  // it has; null if no token has reached it.
  const std::vector<float>* moments(const std::string& name) const;

 private:
  struct Input {
    int64_t width = 0;
    std::vector<float> moments;
  };
  void observe(kernels::Ctx& ctx, const kernels::GemmGroup& group);

  std::map<const void*, std::shared_ptr<Input>> by_panels_;
  std::map<std::string, std::shared_ptr<Input>> by_name_;
};

}  // namespace frugal::model

// README.md of a finished run's checkpoint, in the form that model hubs read: front matter, then what the
// model is, its recipe, data and figures, and how to run it.
#pragma once

#include <cstdint>
#include <string>

#include "train/recipe.h"
#include "train/validation.h"

namespace frugal::train {

// Everything here is the same in every run of the recipe, resumed or not, on any machine: time and energy
// stand in receipt.json.
struct CardFacts {
  const Recipe& recipe;
  int64_t documents = 0;    // of the training part
  int64_t data_tokens = 0;  // in them
  double validation_bytes = 0;
  uint64_t data_fingerprint = 0;
  int64_t step = 0;
  double trained_tokens = 0;   // positions of all steps
  double loss = 0;             // of the last step, nats per token
  Validation validation;       // after the last step; bits_per_byte 0: none was made
  double best_validation = 0;  // bits per byte; 0: none
};
std::string model_card(const CardFacts& facts);

}  // namespace frugal::train

// The kinds of golden cases without a model. Each function uses and checks the tensors that belong to its
// kind. Tolerances are those of the golden data's accept column.
#pragma once

#include "eval/golden_file.h"
#include "kernels/gemm.h"

namespace frugal::eval {

void verify_routing(kernels::Ctx& ctx, GoldenFile& golden, CaseReport* report);
void verify_quantisation(kernels::Ctx& ctx, GoldenFile& golden, CaseReport* report);
void verify_rope(kernels::Ctx& ctx, GoldenFile& golden, const std::string& directory, CaseReport* report);
void verify_products(kernels::Ctx& ctx, GoldenFile& golden, CaseReport* report);
void verify_adamw(kernels::Ctx& ctx, GoldenFile& golden, const std::string& directory, CaseReport* report);

// directory/golden.safetensors, by its tensor names; several kinds may lie in one file.
CaseReport verify_vectors(kernels::Ctx& ctx, const std::string& directory);
// Tokenizer and chat template expectations.
bool holds_tokenizer_case(const std::string& directory);
CaseReport verify_tokenizer(const std::string& directory);

// y [m, n] = a [m, k] b [n, k]^T, or y continued.
void matrix_product(kernels::Ctx& ctx, const std::vector<float>& a, const std::vector<float>& b, int64_t m,
                    int64_t n, int64_t k, kernels::Operand operand, kernels::Accumulate accumulate,
                    std::vector<float>* y);

}  // namespace frugal::eval

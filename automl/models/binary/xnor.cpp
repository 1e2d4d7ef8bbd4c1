// Products of vectors of +1 and -1 that are kept as bits: agreements less disagreements, by XOR and a count of bits
// (Courbariaux et al. 2016; Rastegari et al. 2016). Bits behind the end of a row are 0 on both sides, and so agree.

#include <ATen/core/Tensor.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <cstdint>
#include <cstring>

namespace {

// x: uint8 (n, bytes), w: uint8 (m, bytes), bytes a multiple of 8; size: numbers of a row -> float (n, m)
at::Tensor matmul(const at::Tensor& x, const at::Tensor& w, int64_t size) {
  TORCH_CHECK(x.dim() == 2 && w.dim() == 2 && x.size(1) == w.size(1), "rows of x and w must be equally long");
  TORCH_CHECK(x.scalar_type() == at::kByte && w.scalar_type() == at::kByte, "x and w must be uint8");
  TORCH_CHECK(x.size(1) % 8 == 0, "rows must be whole words of 64 bits");
  TORCH_CHECK(size >= 0 && size <= x.size(1) * 8, "a row holds fewer bits than size");
  const at::Tensor left = x.contiguous(), right = w.contiguous();
  const int64_t n = left.size(0), m = right.size(0), words = left.size(1) / 8;
  at::Tensor out = at::empty({n, m}, left.options().dtype(at::kFloat));
  const uint8_t* a = left.const_data_ptr<uint8_t>();
  const uint8_t* b = right.const_data_ptr<uint8_t>();
  float* to = out.mutable_data_ptr<float>();
  at::parallel_for(0, n, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < m; ++j) {
        int64_t differ = 0;
        for (int64_t k = 0; k < words; ++k) {
          uint64_t p, q;
          std::memcpy(&p, a + (i * words + k) * 8, 8);
          std::memcpy(&q, b + (j * words + k) * 8, 8);
          differ += __builtin_popcountll(p ^ q);
        }
        to[i * m + j] = static_cast<float>(size - 2 * differ);
      }
    }
  });
  return out;
}

}  // namespace

TORCH_LIBRARY(level4_xnor, library) {
  library.def("matmul(Tensor x, Tensor w, int size) -> Tensor");
}

TORCH_LIBRARY_IMPL(level4_xnor, CPU, library) {
  library.impl("matmul", &matmul);
}

// What tch lacks, as plain C functions. A tch `Tensor` holds an `at::Tensor*`.
#include <ATen/core/Tensor.h>

extern "C" {

// Makes `grad` the gradient of `parameter`, so that backward accumulates into its memory.
// Returns 0, or 1 if libtorch refused (shape, kind or device differ).
int electra_set_grad(void* parameter, void* grad) {
  try {
    static_cast<at::Tensor*>(parameter)->mutable_grad() = *static_cast<at::Tensor*>(grad);
    return 0;
  } catch (...) {
    return 1;
  }
}
}

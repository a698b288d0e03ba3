// Extensions to tch, as plain C functions. A tch `Tensor` holds an `at::Tensor*`.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_fused_adamw.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>

#if defined(__linux__)
// libtorch's threads are those of GNU OpenMP. Declared here so that any compiler works.
extern "C" void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);
extern "C" int omp_get_thread_num(void);
extern "C" int omp_get_num_threads(void);
#endif

namespace {

// Computes the gradients of all inputs from the gradient of the output. The caller owns the results; null means no
// gradient. Returns 0, or 1 after a panic.
using Backward = int (*)(void* state, void* gradient, void** results, size_t count);
using Drop = void (*)(void* state);

// A node of the autograd graph whose backward pass is a Rust closure that runs once.
class RustNode : public torch::autograd::Node {
 public:
  RustNode(void* state, Backward backward, Drop drop, size_t inputs)
      : state_(state), backward_(backward), drop_(drop), inputs_(inputs) {}
  ~RustNode() override { release_variables(); }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    torch::autograd::variable_list results(inputs_);
    if (!gradients[0].defined()) return results;
    if (state_ == nullptr) throw std::runtime_error("backward was called twice on the same graph");
    std::vector<void*> raw(inputs_, nullptr);
    const int code = backward_(state_, &gradients[0], raw.data(), inputs_);
    for (size_t i = 0; i < inputs_; ++i) {
      if (raw[i] == nullptr) continue;
      auto* tensor = static_cast<at::Tensor*>(raw[i]);
      results[i] = std::move(*tensor);
      delete tensor;
    }
    if (code != 0) throw std::runtime_error("a Rust backward pass panicked");
    return results;
  }

  void release_variables() override {
    if (state_ != nullptr) drop_(state_);
    state_ = nullptr;
  }

 private:
  void* state_;
  Backward backward_;
  Drop drop_;
  size_t inputs_;
};

}  // namespace

extern "C" {

// Sets `parameter.grad`, so that backward accumulates into its memory. Returns 0, or 1 if libtorch rejected it (shape,
// kind or device differ).
int electra_set_grad(void* parameter, void* grad) {
  try {
    static_cast<at::Tensor*>(parameter)->mutable_grad() = *static_cast<at::Tensor*>(grad);
    return 0;
  } catch (...) {
    return 1;
  }
}

// One AdamW update with libtorch's fused kernel. `vectors`: weights, gradients, first and second moments; `updates`: the
// step count, a float; `divisor` of the gradients and `skip` (1 to change nothing): floats on the device of the weights;
// `numbers`: learning rate, beta1, beta2, weight decay, epsilon. Returns 0, or 1 if libtorch rejected it.
int electra_adam(void* const* vectors, void* updates, void* divisor, void* skip, const double* numbers) {
  try {
    const at::NoGradGuard no_grad;
    auto tensor = [](void* handle) { return *static_cast<at::Tensor*>(handle); };
    auto list = [&](int i) { return std::vector<at::Tensor>{tensor(vectors[i])}; };
    const std::vector<at::Tensor> none, count{tensor(updates)};
    at::_fused_adamw_(list(0), list(1), list(2), list(3), none, count, numbers[0], numbers[1], numbers[2], numbers[3],
                      numbers[4], false, false, tensor(divisor), tensor(skip));
    return 0;
  } catch (...) {
    return 1;
  }
}

// A copy in pinned memory, which the caller owns. Null if there is none.
void* electra_pinned(void* tensor) {
  try {
    return new at::Tensor(static_cast<at::Tensor*>(tensor)->pin_memory());
  } catch (...) {
    return nullptr;
  }
}

// Excludes cuDNN's attention: some of its kernels round the dropout probability to a sixteenth.
void electra_disable_cudnn_attention() { at::globalContext().setSDPUseCuDNN(false); }

// Peak bytes allocated on a GPU; -1 if unknown.
int64_t electra_peak_memory(int device, int reset) {
  try {
    auto* allocator = c10::getDeviceAllocator(c10::DeviceType::CUDA);
    if (!allocator->initialized()) return -1;
    const auto index = static_cast<c10::DeviceIndex>(device);
    const auto stats = allocator->getDeviceStats(index);
    if (reset) allocator->resetPeakStats(index);
    return stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
  } catch (...) {
    return -1;
  }
}

// Whether a function of `inputs` needs a backward pass.
int electra_records(void* const* inputs, size_t count) {
  if (!at::GradMode::is_enabled()) return 0;
  for (size_t i = 0; i < count; ++i) {
    if (static_cast<at::Tensor*>(inputs[i])->requires_grad()) return 1;
  }
  return 0;
}

// Records `output`, which has no history yet, as a function of `inputs`. Takes ownership of `state`, even on failure.
int electra_attach(void* output, void* const* inputs, size_t count, void* state, Backward backward, Drop drop) {
  try {
    auto node = std::shared_ptr<RustNode>(new RustNode(state, backward, drop, count), torch::autograd::deleteNode);
    torch::autograd::edge_list edges;
    for (size_t i = 0; i < count; ++i) {
      edges.push_back(torch::autograd::impl::gradient_edge(*static_cast<at::Tensor*>(inputs[i])));
    }
    node->set_next_edges(std::move(edges));
    torch::autograd::set_history(*static_cast<at::Tensor*>(output), node);
    return 0;
  } catch (...) {
    return 1;
  }
}

// The state of the default generator of a tensor's device; the caller owns it. Null if there is none.
void* electra_generator_state(void* like) {
  try {
    auto generator = at::globalContext().defaultGenerator(static_cast<at::Tensor*>(like)->device());
    std::lock_guard<std::mutex> lock(generator.mutex());
    return new at::Tensor(generator.get_state());
  } catch (...) {
    return nullptr;
  }
}

// Returns 0, or 1 if the generator rejected the state.
int electra_set_generator_state(void* like, void* state) {
  try {
    auto generator = at::globalContext().defaultGenerator(static_cast<at::Tensor*>(like)->device());
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(*static_cast<at::Tensor*>(state));
    return 0;
  } catch (...) {
    return 1;
  }
}

// Calls `body(context, begin, end)` for ranges of 0..count on libtorch's threads. `body` must not throw.
// Equals `at::parallel_for`, a template that is only parallel when compiled with OpenMP.
void electra_parallel_for(int64_t count, void* context, void (*body)(void* context, int64_t begin, int64_t end)) {
#if defined(__linux__)
  struct Region {
    int64_t count;
    void* context;
    void (*body)(void*, int64_t, int64_t);
  };
  if (count > 1 && at::get_num_threads() > 1 && !at::in_parallel_region()) {
    Region region{count, context, body};
    auto piece = [](void* data) {
      const auto* region = static_cast<Region*>(data);
      const int64_t threads = std::min<int64_t>(omp_get_num_threads(), region->count);
      const int64_t length = (region->count + threads - 1) / threads;
      const int64_t begin = omp_get_thread_num() * length;
      if (begin < region->count) region->body(region->context, begin, std::min(region->count, begin + length));
    };
    GOMP_parallel(piece, &region, 0, 0);
    return;
  }
#endif
  body(context, 0, count);
}
}

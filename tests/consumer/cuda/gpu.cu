// SPDX-License-Identifier: MIT
#include <deepseek/backend/cuda.cuh>

#include "train.hpp"

bool has_gpu() { return deepseek::CudaDevice::count() > 0; }

double train_on_gpu() {
    deepseek::Cuda be;
    return train(be);
}

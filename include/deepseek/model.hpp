// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_MODEL_HPP
#define DEEPSEEK_MODEL_HPP

// The public door: everything to describe, train and run a model. A backend is included beside it
// (<deepseek/backend/cpu.hpp>); files, tokenizers and data sets have headers of their own in format/, text/ and data/.

#include <deepseek/core/batch.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/infer/generate.hpp>
#include <deepseek/infer/sampler.hpp>
#include <deepseek/infer/session.hpp>
#include <deepseek/layers/linear.hpp>
#include <deepseek/layers/mla.hpp>
#include <deepseek/layers/moe.hpp>
#include <deepseek/layers/mtp.hpp>
#include <deepseek/layers/swiglu.hpp>
#include <deepseek/model/blocks.hpp>
#include <deepseek/model/model.hpp>
#include <deepseek/model/weights.hpp>
#include <deepseek/train/options.hpp>
#include <deepseek/train/schedule.hpp>
#include <deepseek/train/trainer.hpp>
#include <deepseek/version.hpp>

#endif

// SPDX-License-Identifier: MIT
// Once a step of its extents has run, training takes no memory from anywhere.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/data/batches.hpp>
#include <deepseek/data/token_files.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/model.hpp>

#include "allocation/counting.hpp"
#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ds = deepseek;
using deepseek_tests::allocations;

namespace {

// Every kind of part that a model of this library has. Sizes at which products and attention are cut for two threads.
using M = ds::Model<ds::Vocabulary<500>, ds::Blocks<1, ds::MLA<64, 4, 24, 32, 8, 16, 16>, ds::SwiGLU<160>>,
                    ds::Blocks<1, ds::MLA<64, 4, 24, 32, 8, 16, 16>, ds::MoE<8, 2, 48, 48>>, ds::MTP<1>>;
constexpr ds::index_t kSequences = 2;
constexpr ds::index_t kLength = 64;
constexpr std::size_t kMicroBatches = 2;

// Other tokens at every step, so that experts get other numbers of tokens.
struct Data {
    std::vector<ds::Token> tokens = std::vector<ds::Token>(kMicroBatches * kSequences * kLength + 1);
    std::vector<std::int32_t> documents = std::vector<std::int32_t>(kMicroBatches * kSequences * kLength);
    std::array<ds::Batch, kMicroBatches> batches;
    std::uint64_t drawn = 0;
    bool with_documents = false;

    std::array<ds::Batch, kMicroBatches> const& next() {
        ds::RandomKey const key{ds::Seed{4}};
        auto const favourites = 1 + drawn / tokens.size() * 37 % 499;  // of this step
        for (auto& token : tokens) {
            token = static_cast<ds::Token>(key.bits(drawn++) % favourites);
        }
        constexpr std::size_t size = kSequences * kLength;
        for (std::size_t i = 0; i < kMicroBatches; ++i) {
            batches[i] = {
                {tokens.data() + i * size, size}, {tokens.data() + i * size + 1, size}, kSequences, kLength};
            if (with_documents) {  // of other lengths at every step
                for (std::size_t t = i * size; t < (i + 1) * size; ++t) {
                    documents[t] = static_cast<std::int32_t>(t * (1 + drawn / tokens.size()) / 97);
                }
                batches[i].documents = {documents.data() + i * size, size};
            }
        }
        return batches;
    }
};

template <class Compute = float>
void check(int threads, ds::TrainOptions const& options, bool with_documents = false) {
    CAPTURE(threads);
    ds::Cpu cpu{{.threads = threads}};
    ds::Weights<M, float, ds::Cpu> weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{1});
    ds::Trainer<M, Compute, ds::Cpu> trainer{cpu, weights, options};
    Data data;
    data.with_documents = with_documents;
    auto const step = [&] {
        auto const& batches = data.next();
        trainer.evaluate(batches);
        trainer.step(batches);
    };
    step();  // arenas learn how much it takes …
    step();  // … and put that in one piece
    auto const before = allocations();
    for (int i = 0; i < 6; ++i) {
        step();
    }
    auto const taken = allocations() - before;
    CHECK(taken == 0);
    CHECK(trainer.progress().updates == 8);
}

}  // namespace

TEST_CASE("training: a step and an evaluation allocate nothing, with one thread and with two") {
    ds::TrainOptions const options{.schedule = {.peak = 1e-2, .warmup = 3, .total = 20},
                                   .bias_speed = 0.05,
                                   .embedding_dropout = 0.1,
                                   .attention_dropout = 0.1,
                                   .residual_dropout = 0.1};
    check(1, options);
    check(2, options);
}

TEST_CASE("training: a step that runs blocks again in the backward pass allocates nothing") {
    ds::TrainOptions const options{.schedule = {.peak = 1e-2, .total = 20}, .recompute = true};
    check(1, options);
    check(2, options);
}

TEST_CASE("training: a step that computes in bf16 allocates nothing") {
    ds::TrainOptions const options{.schedule = {.peak = 1e-2, .total = 20}};
    check<ds::bf16>(1, options);
    check<ds::bf16>(2, options);
}

TEST_CASE("training: a step over documents of changing lengths allocates nothing") {
    ds::TrainOptions const options{.schedule = {.peak = 1e-2}};
    check(1, options, true);
    check(2, options, true);
}

TEST_CASE("training: reading batches from a file allocates nothing, from one epoch to the next") {
    deepseek_tests::ScratchDirectory const scratch;
    ds::write_file_atomically(scratch / "t.bin", std::string(2 * 1000, '\0'));
    ds::data::TokenFiles const file(scratch / "t.bin", 500);
    ds::data::Batches batches(file, {.sequences = kSequences, .length = kLength, .separator = 1});
    auto const before = allocations();
    for (int i = 0; i < 30; ++i) {
        batches.next();
    }
    auto const taken = allocations() - before;
    CHECK(taken == 0);
    CHECK(batches.epochs() > 2);
}

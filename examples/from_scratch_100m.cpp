// SPDX-License-Identifier: MIT
// A stranger's model: loads what examples/from_scratch_100m/convert.py made of the from-scratch project's file, says what
// it loses on a file of tokens, and continues a text. examples/from_scratch_100m/README.md tells the whole way.
#include <deepseek/app/cli.hpp>
#include <deepseek/backend/cpu.hpp>
#include <deepseek/data/token_file.hpp>
#include <deepseek/format/tensor_loader.hpp>
#include <deepseek/format/tensor_source.hpp>
#include <deepseek/infer/generate.hpp>
#include <deepseek/infer/sampler.hpp>
#include <deepseek/infer/session.hpp>
#include <deepseek/model/weights.hpp>
#include <deepseek/text/load.hpp>
#include <deepseek/text/tokenizer.hpp>
#include <deepseek/train/evaluate.hpp>

#include "from_scratch_100m/model.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

namespace ds = deepseek;
using Model = from_scratch::FromScratch100M;
using Weights = ds::Weights<Model, float, ds::Cpu>;

namespace {

struct Settings {
    std::string weights, tokens, tokenizer, prompt;
    ds::index_t windows = 20;
    ds::index_t max_new = 200;
    ds::Sampling sampling{.temperature = 0.8, .top_k = 50, .top_p = 1, .min_p = 0};
    std::uint64_t seed = 0;
    int threads = 0;
};

void load(ds::Cpu& cpu, std::string const& path, Weights& weights) {
    auto const source = ds::format::TensorSource::open(path);
    ds::format::TensorLoader<ds::Cpu> loader(cpu);
    loader.add(source, weights);
    loader.expect_no_others<Model>(source);
    loader.run(source.path().native());
}

// Mean losses over windows that lie evenly in the file.
void evaluate(ds::Cpu& cpu, Weights const& weights, Settings const& settings) {
    constexpr auto length = Model::options.context;
    ds::data::TokenFile const file(settings.tokens, Model::vocabulary);
    ds::expects(file.size() > length, settings.tokens, ": has ", file.size(), " tokens, expected at least ",
                length + 1);
    auto const places = file.size() - length;  // where a window may begin
    auto const count = std::min(settings.windows, places);
    ds::LossSums<Model::depth, ds::Cpu> sums(cpu);
    ds::Arena<ds::Cpu> arena(cpu);
    std::vector<ds::Token> window(static_cast<std::size_t>(length) + 1);
    double main = 0;
    double mtp = 0;
    for (ds::index_t i = 0; i < count; ++i) {
        file.read(i * places / count, window);
        std::span<ds::Token const> const all(window);
        ds::Batch const batch{all.first(all.size() - 1), all.subspan(1), 1, length};
        auto const losses = ds::evaluate(cpu, sums, weights, std::span(&batch, 1), {}, arena);
        main += losses.main / static_cast<double>(count);
        mtp += losses.mtp[0] / static_cast<double>(count);
    }
    // The last is what the project reports.
    std::printf("main loss %.5f, MTP loss %.5f, main + 0.3 MTP %.5f; %lld windows\n", main, mtp,
                main + 0.3 * mtp, static_cast<long long>(count));
}

void write(ds::Cpu& cpu, Weights const& weights, Settings const& settings) {
    auto const tokenizer = ds::text::load_tokenizer(settings.tokenizer);
    ds::expects(tokenizer.vocabulary_size() <= Model::vocabulary, settings.tokenizer, ": has ",
                tokenizer.vocabulary_size(), " tokens, the model ", Model::vocabulary);
    auto tokens = tokenizer.encode(settings.prompt);
    ds::Session session{cpu, weights};
    auto sampling = settings.sampling;
    sampling.seed = ds::Seed{settings.seed};
    ds::Sampler sampler{sampling};
    ds::text::StreamDecoder text(tokenizer);
    std::fputs(settings.prompt.c_str(), stdout);
    ds::generate(session, sampler, tokens, {.max_new = settings.max_new}, [&](ds::Token token) {
        std::fputs(text.push(token).c_str(), stdout);
        std::fflush(stdout);
    });
    std::puts(text.finish().c_str());
}

}  // namespace

int main(int argc, char** argv) {
    namespace app = ds::app;
    Settings s;
    app::Program program("from_scratch_100m",
                         "Evaluates the from-scratch project's model and writes with it.");
    program.add_option("weights", s.weights, "the safetensors that convert.py wrote")->required();
    auto* const tokens =
        program.add_option("--tokens", s.tokens, "evaluate on this file of uint16 GPT-2 tokens");
    program.add_option("--windows", s.windows, "of 1024 tokens, to evaluate on")
        ->check(app::in_range<ds::index_t>(1, 1'000'000))
        ->needs(tokens);
    auto* const prompt =
        program.add_option("-p,--prompt", s.prompt, "continue this text")->check(app::not_empty());
    auto* const tokenizer =
        program.add_option("--tokenizer", s.tokenizer, "GPT-2's: tokenizer.json, or a directory with it")
            ->needs(prompt);
    prompt->needs(tokenizer);
    program.add_option("-n,--max-new-tokens", s.max_new, "to write; there is room for 1024 tokens in all")
        ->check(app::in_range<ds::index_t>(1, Model::options.context));
    program.add_option("--temperature", s.sampling.temperature, "0: always the most likely token")
        ->check(app::in_range(0.0, 100.0));
    program.add_option("--top-k", s.sampling.top_k, "of the most likely tokens; 0: all")
        ->check(app::in_range<ds::index_t>(0, Model::vocabulary));
    program.add_option("--seed", s.seed, "of sampling");
    program.add_option("-t,--threads", s.threads, "0: as many as the machine has")
        ->check(app::in_range(0, 1024));
    return app::run(program, argc, argv, [&] {
        ds::Cpu cpu{{.threads = s.threads}};
        Weights weights{cpu};
        load(cpu, s.weights, weights);
        std::printf("%lld parameters\n", static_cast<long long>(ds::param_count<Model>));
        if (!s.tokens.empty()) {
            evaluate(cpu, weights, s);
        }
        if (!s.prompt.empty()) {
            write(cpu, weights, s);
        }
    });
}

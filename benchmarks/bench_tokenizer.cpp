// SPDX-License-Identifier: MIT
// Encoding and decoding of documents: bytes of text per second. `bench_tokenizer TOKENIZER CORPUS...` reads corpora that
// have a byte 0x1E between documents; tokenizers/compare.py makes them, and measures other tokenizers in the same run.
#include <deepseek/core/index.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/text/load.hpp>
#include <deepseek/text/tokenizer.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace deepseek;

struct Corpus {
    std::string name;
    std::string text;
    std::vector<std::string_view> documents;
    std::vector<std::vector<Token>> tokens;
};

void report(benchmark::State& state, std::size_t bytes) {
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(bytes));
}

// Each document into tokens of its own, the next one by the thread that is free.
void encode_all(text::Tokenizer const& tokenizer, Corpus& corpus, int threads) {
    std::atomic<std::size_t> next = 0;
    auto const work = [&] {
        text::Tokenizer::Encoder encoder(tokenizer);
        for (std::size_t i = next++; i < corpus.documents.size(); i = next++) {
            std::vector<Token> tokens;
            encoder.encode(corpus.documents[i], tokens);
            corpus.tokens[i] = std::move(tokens);
        }
    };
    std::vector<std::jthread> others;
    for (int i = 1; i < threads; ++i) {
        others.emplace_back(work);
    }
    work();
}

void encode(benchmark::State& state, text::Tokenizer const& tokenizer, Corpus& corpus, int threads) {
    for (auto _ : state) {
        encode_all(tokenizer, corpus, threads);
    }
    report(state, corpus.text.size());
}

void decode(benchmark::State& state, text::Tokenizer const& tokenizer, Corpus& corpus) {
    encode_all(tokenizer, corpus, 1);
    for (auto _ : state) {
        for (auto const& tokens : corpus.tokens) {
            benchmark::DoNotOptimize(tokenizer.decode(tokens));
        }
    }
    report(state, corpus.text.size());
}

void run(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    expects(argc >= 3, "usage: bench_tokenizer TOKENIZER CORPUS...");
    auto const tokenizer = text::load_tokenizer(argv[1]);
    std::list<Corpus> corpora;
    for (int i = 2; i < argc; ++i) {
        auto& corpus = corpora.emplace_back();
        corpus.name = std::filesystem::path(argv[i]).stem();
        corpus.text = read_file(argv[i]);
        for (std::string_view rest = corpus.text; !rest.empty();) {
            auto const end = std::min(rest.find('\x1E'), rest.size());
            corpus.documents.push_back(rest.substr(0, end));
            rest.remove_prefix(std::min(end + 1, rest.size()));
        }
        corpus.tokens.resize(corpus.documents.size());
        for (int const threads : {1, 2}) {
            benchmark::RegisterBenchmark(("encode/" + corpus.name + "/" + std::to_string(threads)).c_str(),
                                         encode, std::cref(tokenizer), std::ref(corpus), threads)
                ->UseRealTime()
                ->Unit(benchmark::kMillisecond);
        }
        benchmark::RegisterBenchmark(("decode/" + corpus.name + "/1").c_str(), decode, std::cref(tokenizer),
                                     std::ref(corpus))
            ->UseRealTime()
            ->Unit(benchmark::kMillisecond);
    }
    benchmark::RunSpecifiedBenchmarks();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        run(argc, argv);
    } catch (std::exception const& error) {
        std::fprintf(stderr, "bench_tokenizer: %s\n", error.what());
        return 1;
    }
}

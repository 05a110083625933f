// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_MODEL_MODEL_HPP
#define DEEPSEEK_MODEL_MODEL_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/batch.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/model_options.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/layers/linear.hpp>
#include <deepseek/layers/mtp.hpp>
#include <deepseek/model/blocks.hpp>
#include <deepseek/model/parts.hpp>
#include <deepseek/model/tape.hpp>
#include <deepseek/ops/dropout.hpp>
#include <deepseek/ops/elementwise.hpp>
#include <deepseek/ops/embedding.hpp>
#include <deepseek/ops/head_loss.hpp>
#include <deepseek/ops/matmul.hpp>
#include <deepseek/ops/reduce.hpp>
#include <deepseek/ops/rms_norm.hpp>
#include <deepseek/ops/route.hpp>
#include <deepseek/ops/shift.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {

template <class Slot, class Head>
struct model_head {
    typename Head::template Params<Slot> head;
};

template <index_t VocabularySize, ModelOptions Options, int Depth, class... Kinds>
struct model_type {
    using Blocks = Stack<0, Options, Kinds...>;
    static constexpr index_t vocabulary = VocabularySize;
    static constexpr index_t width = Blocks::Block::width;
    static constexpr index_t layers = Blocks::size;
    static constexpr index_t mtp_depth = Depth;
    static constexpr ModelOptions options = Options;

    using Head = Linear<width, vocabulary>;
    using MtpModule = mtp_module<typename last_kind<Kinds...>::type::template block<Options>, Options>;

    template <class Slot>
    struct Params : std::conditional_t<Options.tied_head, Absent<0>, model_head<Slot, Head>> {
        param<Slot, vocabulary, width> embedding;
        typename Blocks::template Params<Slot> blocks;
        param<Slot, width> norm;
        std::array<typename MtpModule::template Params<Slot>, Depth> mtp;
    };

    /// Names are those of Hugging Face files; MTP modules are layers behind the last.
    static constexpr void visit(auto&& f, auto&... set) {
        f(Info{.name = "model.embed_tokens.weight"}, set.embedding...);
        Blocks::each(
            [&]<class Block>(std::type_identity<Block>, index_t layer, auto&... block) {
                visit_child<Block>("model.layers.", layer, f, block...);
            },
            set.blocks...);
        f(Info{.name = "model.norm.weight", .init = Init::ones, .role = Role::undecayed}, set.norm...);
        if constexpr (!Options.tied_head) {
            visit_child<Head>("lm_head.", -1, f, set.head...);
        }
        auto const beside = [&](Info info, auto&... tensors) {
            info.active = 0;  // no token of the main model passes through
            f(info, tensors...);
        };
        for (std::size_t k = 0; k != Depth; ++k) {
            visit_child<MtpModule>("model.layers.", layers + static_cast<index_t>(k), beside, set.mtp[k]...);
        }
    }

    template <class T>
    using Tape = model_tape<model_type, T>;

    /// Runs the blocks and the MTP modules over a batch and keeps in the arena what backward needs.
    ///
    /// Shapes:    batch.tokens, batch.targets [pass.sequences, pass.length]
    /// Errors:    ShapeError if the batch is not of the pass's extents or sequences are not longer than the MTP depth;
    ///            Error if an id is outside the vocabulary (see check_batch)
    template <class T, class B>
    static Tape<T> forward(B& be, Pass const& extents, viewed_params<model_type, T const> const& p,
                           Batch const& batch, Arena<B>& arena) {
        check(extents, batch);
        auto tape = take_tape<T>(be, extents, batch, arena);
        auto const& pass = tape.pass;
        ops::embed(be, tape.hidden[0], p.embedding, tape.tokens[0]);
        ops::dropout(be, tape.hidden[0], embedding_dropout(pass));
        Blocks::each(
            [&]<class Block>(std::type_identity<Block>, index_t layer, auto& block, auto& saved) {
                auto const [x, y] = tape.around(layer);
                auto const scope = be.scratch().scope();
                if (pass.recompute) {
                    auto temporary = Block::template take_saved<T>(be.scratch(), x.rows);
                    Block::forward(be, of_layer(pass, layer), block, x, y, temporary);
                } else {
                    Block::forward(be, of_layer(pass, layer), block, x, y, saved);
                }
            },
            p.blocks, tape.blocks);
        ops::rms_norm(be, tape.output, tape.hidden[layers], p.norm, tape.inverse_rms, Options.norm_epsilon);
        for (std::size_t k = 0; k != Depth; ++k) {
            auto& saved = tape.mtp[k];
            ops::embed(be, saved.embedded, p.embedding, tape.tokens[k + 1]);
            ops::drop_last(be, saved.hidden, tape.output_of(k), pass.sequences);
            MtpModule::forward(be, of_depth(tape, k + 1), p.mtp[k], saved);
        }
        return tape;
    }

    /// Adds the losses of a forward pass to losses[0] (main) and losses[k] (MTP depth k), each times pass.loss_scale.
    ///
    /// Units:     nats per target of the main model that counts: an MTP loss is divided by the same number though it has
    ///            fewer terms; 0 where none counts
    template <class T, class B>
    static void loss(B& be, viewed_params<model_type, T const> const& p, Tape<T>& tape, double* losses) {
        for (std::size_t k = 0; k <= Depth; ++k) {
            head_loss<T>(be, p, tape, k, losses + k);
        }
    }

    /// Adds the gradients of main loss + mtp_weight / Depth * sum of MTP losses + balance losses, times
    /// pass.loss_scale, to g, and the losses to `losses` as loss() does. Uses the tape up. Activations and weights are of T,
    /// gradients of weights of accumulate_t<T>.
    template <class T, class B>
    static void backward(B& be, viewed_params<model_type, T const> const& p, Tape<T>& tape,
                         viewed_params<model_type, accumulate_t<T>>& g, double mtp_weight, double* losses) {
        auto const& pass = tape.pass;
        auto const scope = be.scratch().scope();
        // [tokens, width]: gradient of the main output, then of the stream
        auto d = be.scratch().template rows<T, width>(pass.rows());

        // The deepest module comes last forward, so first backward; each hands its hidden state's gradient to the
        // depth before it.
        head_loss_backward<T>(be, p, tape, 0, d, g, 1, losses);
        backward_mtp<T>(be, p, tape, d, g, mtp_weight, losses);

        ops::rms_norm_backward(be, d, g.norm, d, tape.hidden[layers], p.norm, tape.inverse_rms,
                               ops::Write::overwrite);
        Blocks::each_reversed(
            [&]<class Block>(std::type_identity<Block>, index_t layer, auto& block, auto& saved,
                             auto& gradient) {
                auto const [x, y] = tape.around(layer);
                auto const layer_pass = of_layer(pass, layer);
                auto const inner = be.scratch().scope();
                if (pass.recompute) {
                    auto temporary = Block::template take_saved<T>(be.scratch(), x.rows);
                    auto again = layer_pass;
                    again.balance_loss = nullptr;  // counted in the first forward pass
                    Block::forward(be, again, block, x, y, temporary);
                    Block::backward(be, layer_pass, block, x, temporary, d, gradient);
                } else {
                    Block::backward(be, layer_pass, block, x, saved, d, gradient);
                }
            },
            p.blocks, tape.blocks, g.blocks);
        ops::dropout(be, d, embedding_dropout(pass));
        ops::embed_backward(be, g.embedding, d, tape.tokens[0]);
    }

    /// What generation remembers of every token.
    template <class Slot>
    using Cache = typename Blocks::template Cache<Slot>;

    /// Continues one sequence by `tokens`, which follow the pass.position tokens in the cache; writes the normed output
    /// of every new token.
    ///
    /// Shapes:    output [tokens, width]; the cache holds at least pass.position + tokens rows
    template <class T, class W, class B>
    static void extend(B& be, Pass const& pass, viewed_params<model_type, W const> const& p,
                       Token const* tokens, Cache<Viewed<T>>& cache, Rows<T, width> output) {
        auto const scope = be.scratch().scope();
        auto hidden = be.scratch().template rows<T, width>(output.rows);                 // [tokens, width]
        auto inverse_rms = be.scratch().template rows<accumulate_t<T>, 1>(output.rows);  // [tokens]
        ops::embed(be, hidden, p.embedding, tokens);
        Blocks::each([&]<class Block>(std::type_identity<Block>, index_t, auto& block,
                                      auto& entry) { Block::extend(be, pass, block, hidden, hidden, entry); },
                     p.blocks, cache);
        ops::rms_norm(be, output, hidden, p.norm, inverse_rms, Options.norm_epsilon);
    }

    /// The logits of normed outputs.
    ///
    /// Shapes:    out [rows, vocabulary]; output [rows, width]
    static void logits(auto& be, auto const& p, auto out, auto output) {
        Head::forward(be, head(p), output, out);
    }

private:
    static constexpr std::uint64_t kEmbeddingUse = 1U << 20U;  // of random numbers; below are the layers

    static auto head(auto const& p) {
        if constexpr (Options.tied_head) {
            return
                typename Head::template Params<Viewed<typename decltype(p.embedding)::element>>{p.embedding};
        } else {
            return p.head;
        }
    }

    static Pass of_layer(Pass const& pass, index_t layer) {
        return pass.fork(static_cast<std::uint64_t>(layer));
    }

    template <class T>
    static Pass of_depth(Tape<T> const& tape, std::size_t depth) {
        auto shorter = of_layer(tape.pass, layers + static_cast<index_t>(depth));
        shorter.length -= static_cast<index_t>(depth);
        if (shorter.targets != nullptr) {
            shorter.targets = tape.targets[depth];
        }
        shorter.document_starts = tape.document_starts[depth];
        return shorter;
    }

    // Of the loss of one target.
    template <class T>
    static double target_weight(Tape<T> const& tape) {
        return tape.counted > 0 ? tape.pass.loss_scale / static_cast<double>(tape.counted) : 0;
    }

    static Dropout embedding_dropout(Pass const& pass) {
        return {pass.embedding_dropout, pass.random.fork(kEmbeddingUse)};
    }

    static void check(Pass const& pass, Batch const& batch) {
        expects<ShapeError>(pass.sequences > 0 && pass.length > Depth && batch.sequences == pass.sequences &&
                                batch.length == pass.length,
                            "forward: a batch of ", batch.sequences, " x ", batch.length,
                            " tokens in a pass of ", pass.sequences, " x ", pass.length,
                            "; sequences must be longer than the MTP depth ", Depth);
        check_batch(batch, vocabulary);
    }

    template <class T, class B>
    static Tape<T> take_tape(B& be, Pass const& pass, Batch const& batch, Arena<B>& arena) {
        Tape<T> tape;
        tape.pass = pass;
        tape.counted = counted_targets(batch);
        auto const count = pass.rows();
        for (auto& hidden : tape.hidden) {
            hidden = arena.template rows<T, width>(count);
        }
        tape.inverse_rms = arena.template rows<accumulate_t<T>, 1>(count);
        tape.output = arena.template rows<T, width>(count);
        if (!pass.recompute) {
            tape.blocks = Blocks::template take_saved<T>(arena, count);
        }
        take_inputs(be, tape, batch, arena);
        for (std::size_t k = 1; k <= Depth; ++k) {
            take_shifted_inputs(be, tape, k, arena);
            auto const rows = count - static_cast<index_t>(k) * pass.sequences;
            tape.mtp[k - 1] = MtpModule::template take_saved<T>(arena, rows);
        }
        return tape;
    }

    // The batch in the backend's memory, and what a pass has to know of it where not all rows are alike.
    template <class T, class B>
    static void take_inputs(B& be, Tape<T>& tape, Batch const& batch, Arena<B>& arena) {
        auto& pass = tape.pass;
        auto const count = pass.rows();
        auto const bytes = count * static_cast<index_t>(sizeof(Token));
        tape.tokens[0] = arena.template take<Token>(count);
        tape.targets[0] = arena.template take<Token>(count);
        be.copy_from_host(tape.tokens[0], batch.tokens.data(), bytes);
        be.copy_from_host(tape.targets[0], batch.targets.data(), bytes);
        if (!batch.documents.empty()) {
            auto* const starts = arena.template take<std::int32_t>(count);
            be.copy_from_host(starts, batch.documents.data(),
                              count * static_cast<index_t>(sizeof(std::int32_t)));
            ops::find_document_starts(be, starts, pass.sequences, pass.length);
            pass.document_starts = tape.document_starts[0] = starts;
        }
        if (tape.counted < count || !batch.documents.empty()) {
            auto* const weights = arena.template take<double>(pass.sequences);
            ops::sequence_weights(be, weights, tape.targets[0], pass.sequences, pass.length);
            pass.targets = tape.targets[0];
            pass.sequence_weights = weights;
        }
    }

    template <class T, class B>
    static void take_shifted_inputs(B& be, Tape<T>& tape, std::size_t k, Arena<B>& arena) {
        auto const& pass = tape.pass;
        auto const depth = static_cast<index_t>(k);
        auto const rows = pass.rows() - depth * pass.sequences;
        tape.tokens[k] = arena.template take<Token>(rows);
        tape.targets[k] = arena.template take<Token>(rows);
        ops::shift_tokens(be, tape.tokens[k], tape.tokens[0], pass.sequences, pass.length, depth);
        ops::shift_tokens(be, tape.targets[k], tape.targets[0], pass.sequences, pass.length, depth);
        if (pass.document_starts != nullptr) {
            tape.document_starts[k] = arena.template take<std::int32_t>(rows);
            ops::shift_documents(be, tape.document_starts[k], tape.targets[k], tape.document_starts[0],
                                 pass.sequences, pass.length, depth);
        }
    }

    // The head works on parts of the rows, so that the logits of a whole batch never exist at once. A part is large
    // enough for the products to run at full speed and for the head's gradient, which every part reads and writes
    // whole, not to dominate.
    template <class T>
    static constexpr index_t kHeadRows = std::clamp<index_t>(
        (index_t{48} << 20) / (vocabulary * static_cast<index_t>(sizeof(T))) / 64 * 64, 64, 2048);

    template <class T, class B, class F>
    static void for_head_parts(B& be, Tape<T>& tape, std::size_t depth, double* loss, F const& f) {
        auto const output = tape.output_of(depth);
        for (index_t begin = 0; begin < output.rows; begin += kHeadRows<T>) {
            auto const count = std::min(kHeadRows<T>, output.rows - begin);
            auto const scope = be.scratch().scope();
            auto scores = be.scratch().template rows<T, vocabulary>(count);       // [count, vocabulary]
            auto losses = be.scratch().template rows<accumulate_t<T>, 1>(count);  // [count]
            f(output.slice(begin, count), scores, losses, tape.targets[depth] + begin, begin);
            ops::add_sum(be, loss, losses, target_weight(tape));
        }
    }

    template <class T, class B>
    static void head_loss(B& be, viewed_params<model_type, T const> const& p, Tape<T>& tape,
                          std::size_t depth, double* loss) {
        for_head_parts<T>(be, tape, depth, loss,
                          [&](auto h, auto scores, auto losses, Token const* targets, index_t) {
                              ops::head_loss(be, losses, scores, h, head(p).weight, targets);
                          });
    }

    template <class T, class B>
    static void head_loss_backward(B& be, viewed_params<model_type, T const> const& p, Tape<T>& tape,
                                   std::size_t depth, Rows<T, width> dh,
                                   viewed_params<model_type, accumulate_t<T>>& g, double weight,
                                   double* loss) {
        auto const scale = weight * target_weight(tape);
        for_head_parts<T>(be, tape, depth, loss,
                          [&](auto h, auto scores, auto losses, Token const* targets, index_t begin) {
                              ops::head_loss_backward(be, losses, scores, dh.slice(begin, h.rows),
                                                      head(g).weight, h, head(p).weight, targets,
                                                      static_cast<accumulate_t<T>>(scale));
                          });
    }

    template <class T, class B>
    static void backward_mtp(B& be, viewed_params<model_type, T const> const& p, Tape<T>& tape,
                             Rows<T, width> d, viewed_params<model_type, accumulate_t<T>>& g,
                             double mtp_weight, double* losses) {
        if constexpr (Depth > 0) {
            auto const sequences = tape.pass.sequences;
            std::array<Rows<T, width>, Depth + 1> doutput{};  // of every depth's normed output
            doutput[0] = d;
            for (std::size_t k = 1; k <= Depth; ++k) {
                doutput[k] = be.scratch().template rows<T, width>(tape.output_of(k).rows);
                head_loss_backward<T>(be, p, tape, k, doutput[k], g, mtp_weight / Depth, losses + k);
            }
            auto dembedded = be.scratch().template rows<T, width>(d.rows);  // of each depth in turn
            for (std::size_t k = Depth; k >= 1; --k) {
                auto const rows = doutput[k].rows;
                MtpModule::backward(be, of_depth(tape, k), p.mtp[k - 1], tape.mtp[k - 1], doutput[k],
                                    dembedded.slice(0, rows), g.mtp[k - 1]);
                ops::embed_backward(be, g.embedding, dembedded.slice(0, rows), tape.tokens[k]);
                ops::drop_last_backward(be, doutput[k - 1], doutput[k], sequences);
            }
        }
    }
};

}  // namespace detail

/// A language model of DeepSeek-V3's kind, as a type: Vocabulary<V>, then one or more Blocks, then optionally
/// MTP<Depth> and Options<ModelOptions{…}>.
///
/// Members:   vocabulary, width, layers, mtp_depth, options; Params, visit; forward, loss, backward, extend, logits
/// Source:    DeepSeek-V3 technical report, 2; tensor names of Hugging Face's deepseek_v3
template <class VocabularySize, class... Parts>
struct Model : detail::model_base<VocabularySize, Parts...> {
private:
    using rules = detail::model_rules<VocabularySize, Parts...>;
    static_assert(rules::known,
                  "Model<Vocabulary, Parts…>: every part must be Blocks<…>, MTP<Depth> or Options<…>");
    static_assert(rules::some,
                  "Model<Vocabulary, Parts…>: there must be at least one Blocks<Count, Attention, …>");
    static_assert(rules::equal, "Model<Vocabulary, Parts…>: all Blocks must have the same width");
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif

// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTING_CHECK_LAYER_HPP
#define DEEPSEEK_TESTING_CHECK_LAYER_HPP

#include <deepseek/core/arena.hpp>
#include <deepseek/core/buffer.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/layer.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/slot.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/testing/gradients.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::testing {

/// What a layer is checked on.
struct LayerCheck {
    Pass pass{.sequences = 2, .length = 5};
    Seed seed{1};            ///< of parameters, input and output gradient
    double deviation = 0.5;  ///< of the random parameters and inputs; large enough for every branch to matter
};

namespace detail {
// Numbers of the host and their copy in a backend's memory.
template <class B>
class Mirror {
public:
    Mirror(B& be, index_t count)
        : host(static_cast<std::size_t>(count)),
          be_(&be),
          memory_(be, count * static_cast<index_t>(sizeof(double))) {}

    std::byte* host_bytes() { return reinterpret_cast<std::byte*>(host.data()); }
    std::byte* bytes() const { return memory_.data(); }
    double* data() const { return reinterpret_cast<double*>(memory_.data()); }
    void upload() { be_->copy_from_host(memory_.data(), host.data(), memory_.bytes()); }
    void download() { be_->copy_to_host(host.data(), memory_.data(), memory_.bytes()); }

    std::vector<double> host;

private:
    B* be_;
    Buffer<B> memory_;
};
}  // namespace detail

/// Checks a layer against its contract (core/layer.hpp) in double precision, on any backend, and returns the worst
/// disagreement of its gradients with finite differences of forward. Pointers of the pass are to the backend's memory.
///
/// Output, saved values and dx are poisoned with NaN beforehand, so what a layer does not write shows; gradients start
/// from numbers, so overwriting instead of adding shows.
///
/// Errors:    Error if y, dx or a gradient holds a NaN afterwards, if backward changed dy, or if running the same backward pass twice
///            gives different bits
template <Layer L, class B>
GradientReport check_layer(B& be, LayerCheck const& check = {}) {
    constexpr double kStart = 0.25;  // what gradients hold before backward adds to them
    constexpr double kPoison = std::numeric_limits<double>::quiet_NaN();
    constexpr auto kParams = param_bytes<L, double> / static_cast<index_t>(sizeof(double));
    auto const rows = check.pass.rows();
    auto const size = checked_mul(rows, L::width);

    detail::Mirror<B> params(be, kParams), gradients(be, kParams), x(be, size), dy(be, size), dx(be, size);
    detail::Mirror<B> y(be, size + 1);  // and the balance loss
    viewed_params<L, double> device_params{}, device_gradients{}, host_params{}, host_gradients{};
    bind<L, double>(device_params, params.bytes());
    bind<L, double>(device_gradients, gradients.bytes());
    bind<L, double>(host_params, params.host_bytes());
    bind<L, double>(host_gradients, gradients.host_bytes());

    RandomKey const key{check.seed};
    std::uint64_t next = 0;
    L::visit(
        [&]<class Tensor>(Info const& info, Tensor& value) {
            auto const mean = info.init == Init::ones ? 1.0 : 0.0;
            for (index_t i = 0; i < Tensor::size; ++i) {
                value.data[i] = mean + check.deviation * key.normal(next++);
            }
        },
        host_params);
    for (std::size_t i = 0; i < x.host.size(); ++i) {
        x.host[i] = key.normal(next++);
        dy.host[i] = key.normal(next++);
    }
    dy.upload();

    Arena<B> arena(be);
    auto pass = check.pass;
    pass.balance_loss = y.data() + size;
    using In = Rows<double, L::width>;
    In const x_rows{x.data(), rows}, y_rows{y.data(), rows}, dy_rows{dy.data(), rows},
        dx_rows{dx.data(), rows};
    auto const forward = [&] {
        params.upload();
        x.upload();
        std::fill(y.host.begin(), y.host.end(), kPoison);
        y.host.back() = 0;
        y.upload();
        auto saved = take_set<L::template Saved, double>(arena, rows);
        L::forward(be, pass, device_params, x_rows, y_rows, saved);
        return saved;
    };
    auto const loss = [&] {
        auto const scope = arena.scope();
        forward();
        y.download();
        auto sum = y.host.back();
        for (std::size_t i = 0; i < dy.host.size(); ++i) {
            sum += dy.host[i] * y.host[i];
        }
        return sum;
    };
    auto const poison_saved = [&] {
        auto const scope = arena.scope();
        if constexpr (!std::is_empty_v<typename L::template Saved<OneByte>>) {
            // As many bytes as the set takes, and what aligning its members may add.
            auto const bytes =
                rows * static_cast<index_t>(sizeof(typename L::template Saved<Sized<double>>)) +
                64 * static_cast<index_t>(sizeof(typename L::template Saved<OneByte>));
            std::vector<std::byte> const poison(static_cast<std::size_t>(bytes), std::byte{0xFF});
            be.copy_from_host(arena.template take<std::byte>(bytes), poison.data(), bytes);
        }
    };
    auto const backward = [&] {
        poison_saved();
        std::fill(gradients.host.begin(), gradients.host.end(), kStart);
        std::fill(dx.host.begin(), dx.host.end(), kPoison);
        gradients.upload();
        dx.upload();
        auto const scope = arena.scope();
        auto saved = forward();
        L::backward(be, pass, device_params, x_rows, saved, dy_rows, dx_rows, device_gradients);
        y.download();
        dx.download();
        gradients.download();
    };

    auto const kept_dy = dy.host;
    backward();
    auto const is_nan = [](double v) { return std::isnan(v); };
    expects(std::none_of(y.host.begin(), y.host.end(), is_nan),
            "check_layer: forward left part of y unwritten");
    expects(std::none_of(dx.host.begin(), dx.host.end(), is_nan),
            "check_layer: backward left part of dx unwritten, or read what forward had not written");
    expects(std::none_of(gradients.host.begin(), gradients.host.end(), is_nan),
            "check_layer: a gradient is NaN: backward read what forward had not written");
    dy.download();
    expects(dy.host == kept_dy, "check_layer: backward changed dy");

    auto const first_dx = dx.host;
    auto const first_gradients = gradients.host;
    backward();
    expects(dx.host == first_dx && gradients.host == first_gradients,
            "check_layer: two equal backward passes differ in bits");
    for (auto& gradient : gradients.host) {
        gradient -= kStart;
    }

    auto worst = compare_gradients<L>(host_params, host_gradients, loss);
    worst.include(compare_gradient("x", x.host.data(), dx.host.data(), size, loss));
    return worst;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::testing

#endif

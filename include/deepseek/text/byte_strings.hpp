// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_BYTE_STRINGS_HPP
#define DEEPSEEK_TEXT_BYTE_STRINGS_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::text::detail {

// A hash of short strings: two reads and two products for up to 16 bytes.
inline std::uint64_t hash_bytes(std::string_view bytes) {
    auto const mix = [](std::uint64_t a, std::uint64_t b) {
        auto const product = (a ^ 0x9E37'79B9'7F4A'7C15U) * (std::rotl(b, 32) ^ 0xD6E8'FEB8'6659'FD93U);
        return product ^ (product >> 32U);
    };
    auto const read = [](char const* from, std::size_t count) {
        std::uint64_t word = 0;
        std::memcpy(&word, from, count);
        return word;
    };
    auto const* data = bytes.data();
    auto size = bytes.size();
    std::uint64_t hash = size;
    while (size > 16) {
        hash = mix(hash ^ read(data, 8), read(data + 8, 8));
        data += 16;
        size -= 16;
    }
    if (size >= 8) {  // both ends, overlapping
        return mix(hash ^ read(data, 8), read(data + size - 8, 8));
    }
    if (size >= 4) {
        return mix(hash ^ read(data, 4), read(data + size - 4, 4));
    }
    if (size == 0) {
        return mix(hash, 0);
    }
    auto const byte = [&](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(data[i])}; };
    return mix(hash ^ byte(0), byte(size / 2) << 8U | byte(size - 1));
}

// The bytes of every token, one after the other.
class TokenBytes {
public:
    void push_back(std::string_view bytes) {
        expects(bytes.size() <= std::numeric_limits<std::uint32_t>::max() - end(),
                "a vocabulary of more than 4 GiB is not supported");
        bytes_.resize(end());
        bytes_ += bytes;
        ends_.push_back(static_cast<std::uint32_t>(bytes_.size()));
        bytes_.resize(bytes_.size() + kSlack);
    }
    std::size_t size() const { return ends_.size(); }
    std::string_view operator[](Token token) const {
        auto const index = static_cast<std::size_t>(token);
        auto const begin = index == 0 ? 0 : ends_[index - 1];
        return {bytes_.data() + begin, ends_[index] - begin};
    }

    /// Writes a token's bytes, and up to kSlack bytes behind them; gives where they end. Most tokens are short, and a
    /// copy of fixed size takes no branch on their length.
    char* copy(Token token, char* to) const {
        auto const bytes = (*this)[token];
        std::memcpy(to, bytes.data(), kSlack);
        if (bytes.size() > kSlack) {
            std::memcpy(to, bytes.data(), bytes.size());
        }
        return to + bytes.size();
    }
    static constexpr std::size_t kSlack = 16;

private:
    std::size_t end() const { return ends_.empty() ? 0 : ends_.back(); }

    std::string bytes_;  // and kSlack more
    std::vector<std::uint32_t> ends_;
};

// From bytes to the token that they are: a hash table over TokenBytes.
class TokenIndex {
public:
    TokenIndex() : TokenIndex(0) {}
    // Room for so many tokens.
    explicit TokenIndex(std::size_t tokens) : slots_(std::bit_ceil(std::max<std::size_t>(2 * tokens, 2))) {}

    // The bytes of each token may be added once.
    void add(TokenBytes const& bytes, Token token) {
        auto const hash = hash_bytes(bytes[token]);
        auto at = place(hash);
        while (slots_[at].token >= 0) {
            at = (at + 1) & (slots_.size() - 1);
        }
        slots_[at] = {tag(hash), token};
    }

    // The token, or -1.
    Token find(TokenBytes const& bytes, std::string_view wanted) const {
        auto const hash = hash_bytes(wanted);
        for (auto at = place(hash); slots_[at].token >= 0; at = (at + 1) & (slots_.size() - 1)) {
            if (slots_[at].tag == tag(hash) && bytes[slots_[at].token] == wanted) {
                return slots_[at].token;
            }
        }
        return -1;
    }

private:
    struct Slot {
        std::uint32_t tag = 0;  // bits of the hash that did not choose the place: most mismatches end here
        Token token = -1;
    };
    static std::uint32_t tag(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32U); }
    std::size_t place(std::uint64_t hash) const {
        return static_cast<std::size_t>(hash) & (slots_.size() - 1);
    }

    std::vector<Slot> slots_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::text::detail

#endif

// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_ADDED_TOKENS_HPP
#define DEEPSEEK_TEXT_ADDED_TOKENS_HPP

#include <deepseek/core/index.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::text::detail {

// Finds given strings in a text: the leftmost one, of several that begin there the longest.
class StringFinder {
public:
    struct Found {
        std::size_t begin = std::string_view::npos;
        std::size_t end = std::string_view::npos;
        Token token = -1;
    };

    void add(std::string_view content, Token token) {
        std::uint32_t node = 0;
        begins_[static_cast<unsigned char>(content.front())] = true;
        for (char const letter : content) {
            auto const next = child(node, letter);
            if (next != 0) {
                node = next;
                continue;
            }
            nodes_[node].children.emplace_back(letter, static_cast<std::uint32_t>(nodes_.size()));
            node = static_cast<std::uint32_t>(nodes_.size());
            nodes_.emplace_back();
        }
        nodes_[node].token = token;
    }

    bool empty() const { return nodes_.size() == 1; }

    // The first at or behind `from`; token -1 if there is none.
    Found find(std::string_view text, std::size_t from) const {
        for (auto begin = from; begin < text.size(); ++begin) {
            if (!begins_[static_cast<unsigned char>(text[begin])]) {
                continue;
            }
            Found found;
            std::uint32_t node = 0;
            for (auto at = begin; at < text.size(); ++at) {
                node = child(node, text[at]);
                if (node == 0) {
                    break;
                }
                if (nodes_[node].token >= 0) {
                    found = {begin, at + 1, nodes_[node].token};
                }
            }
            if (found.token >= 0) {
                return found;
            }
        }
        return {};
    }

private:
    struct Node {
        Token token = -1;
        std::vector<std::pair<char, std::uint32_t>> children;  // few: added tokens share long beginnings
    };

    std::uint32_t child(std::uint32_t node, char letter) const {
        for (auto const& [first, next] : nodes_[node].children) {
            if (first == letter) {
                return next;
            }
        }
        return 0;  // the root is nobody's child
    }

    std::vector<Node> nodes_{1};
    std::array<bool, 256> begins_{};
};

}  // namespace deepseek::inline DEEPSEEK_ABI::text::detail

#endif

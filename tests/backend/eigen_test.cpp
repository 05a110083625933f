// SPDX-License-Identifier: MIT
#include <deepseek/eigen.hpp>

#include <doctest/doctest.h>

#include <numeric>
#include <span>
#include <type_traits>
#include <vector>

using namespace deepseek;

TEST_CASE("eigen: parameters, rows and spans are seen where they lie, with the extents the compiler knows") {
    std::vector<float> memory(24);
    std::iota(memory.begin(), memory.end(), 0.0F);

    Matrix<float, 4, 6> const parameter{memory.data()};
    auto whole = eigen(parameter);
    static_assert(decltype(whole)::RowsAtCompileTime == 4 && decltype(whole)::ColsAtCompileTime == 6);
    CHECK(whole(2, 5) == parameter.row(2)[5]);
    whole(2, 5) = -1;
    CHECK(memory[17] == -1);

    Rows<float, 6> const rows{memory.data(), 4};
    auto const part = eigen(rows.columns<2, 3>());  // wider from row to row than a row is
    static_assert(decltype(eigen(rows))::ColsAtCompileTime == 6);
    CHECK(part.rows() == 4);
    CHECK(part.cols() == 3);
    CHECK(part(3, 1) == memory[3 * 6 + 3]);
    CHECK(part.sum() == 2 + 3 + 4 + 8 + 9 + 10 + 14 + 15 + 16 + 20 + 21 + 22);

    auto const column = eigen(rows.columns<1, 1>());  // Eigen has single columns by column
    CHECK(column.rows() == 4);
    CHECK(column(3) == memory[3 * 6 + 1]);

    Matrix<float const, 6> const gain{memory.data()};
    static_assert(!std::is_assignable_v<decltype(eigen(gain)(0)), float>);
    CHECK(eigen(gain).sum() == 15);

    std::span<float const> const logits(memory);
    Eigen::Index best = 0;
    CHECK(eigen(logits).maxCoeff(&best) == 23);
    CHECK(best == 23);

    Eigen::VectorXf const mine = Eigen::VectorXf::Constant(3, 2);
    auto const theirs = to_span(mine);  // and the other way
    static_assert(std::is_same_v<decltype(theirs), std::span<float const> const>);
    CHECK(theirs.size() == 3);
    CHECK(theirs[2] == 2);
    Eigen::RowVector3d row = Eigen::RowVector3d::Zero();
    to_span(row)[1] = 5;
    CHECK(row(1) == 5);

    CHECK(eigen(Rows<float, 6>{memory.data(), 0}).rows() == 0);
}

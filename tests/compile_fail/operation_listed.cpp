// SPDX-License-Identifier: MIT
// expect: no matching function for call to 'compute
// names: ops::Add
#include <deepseek/ops/elementwise.hpp>

namespace ds = deepseek;

// Lists an operation; its function has a number where the door passes the second summand.
struct Mine {
    using own = ds::OperationList<ds::ops::Add>;
};

#ifdef DEEPSEEK_POSITIVE_CONTROL
using Last = ds::Strided<float const>;
#else
using Last = ds::index_t;
#endif
void compute(ds::ops::Add, Mine&, ds::Strided<float>, ds::Strided<float const>, Last) {}

void run(Mine& be, ds::Rows<float, 8> x) { ds::ops::add(be, x, x, x); }

#!/bin/sh
# SPDX-License-Identifier: MIT
# Writes the fixtures anew: tests/golden/make.sh [python]
#
# Without an argument the pinned packages go into a virtual environment in build/golden-venv (about 6 GB for
# PyTorch); with one, that interpreter must have them already. Takes a minute. The tests do not need this: the
# fixtures are checked in.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -gt 0 ]; then
    python=$1
else
    environment=$here/../../build/golden-venv
    python=$environment/bin/python
    if [ ! -x "$python" ]; then
        python3 -m venv "$environment"
    fi
    "$python" -m pip install --quiet --requirement "$here/requirements.txt"
fi
# No network, no bytecode beside the sources, the same order of everything.
HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 exec "$python" -W error "$here/make.py"

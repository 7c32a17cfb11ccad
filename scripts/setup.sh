#!/bin/sh
# Make .venv and install minivisor into it, editable, with all extras, at exactly the versions of constraints.txt.
#
#   setup.sh STAMP      STAMP is created when all went well, so that make need not call this again
#   PYTHON=python3.12   which interpreter to use, instead of the first one that will do
#
# On a bare Debian python3-venv is a package of its own: root gets it installed, anybody else is told its name.
# Wheels only: no compiler is needed, and a package without one is an error here and not ten minutes later.
set -eu
stamp=$1

usable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for python in ${PYTHON:-python3 python3.13 python3.12 python3.11 /usr/bin/python3}; do
        if usable "$python"; then echo "$python"; return; fi
    done
}

python=$(find_python)
if [ -z "$python" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing python3-venv"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update && apt-get -qq install -y --no-install-recommends python3 python3-venv >/dev/null
    python=$(find_python)
fi
if [ -z "$python" ]; then
    echo "setup: no Python 3.11 or newer with venv; install one (Debian, Ubuntu: apt-get install python3-venv)" >&2
    exit 2
fi

if ! { [ -x .venv/bin/python ] && usable .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
    "$python" -m venv --clear .venv
fi
echo "setup: installing into .venv (once; a minute or two)"
pip() { .venv/bin/python -m pip -qq --disable-pip-version-check install --only-binary :all: -c constraints.txt "$@"; }
pip pip hatchling editables
pip --no-build-isolation --editable '.[notebooks,grading,guests,dev]'
rm -f .venv/.installed-*
: > "$stamp"

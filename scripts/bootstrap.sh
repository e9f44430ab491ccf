#!/bin/sh
# Sets up .venv with the locked dependencies. Idempotent; every failure ends in one sentence that says what to type.
set -eu
cd "$(dirname "$0")/.."
VENV=.venv
LOCK=requirements/all.lock

. scripts/apt.sh

find_python() {
    for candidate in python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"; return
        fi
    done
}

PYTHON=$(find_python)
if [ -z "$PYTHON" ]; then
    apt_install python3 python3-venv
    PYTHON=$(find_python)
    [ -n "$PYTHON" ] || stop "Python 3.11 or newer is missing; on Debian 12 or newer type: sudo apt-get install python3 python3-venv"
fi
"$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || apt_install python3-venv
# Debian puts mosquitto in /usr/sbin, which is not on every user's PATH.
PATH="$PATH:/usr/sbin:/usr/local/sbin"
if ! command -v mosquitto >/dev/null 2>&1; then
    # Debian starts the packaged broker on install; ours is configured and started by itself.
    apt_install mosquitto
fi
# spidev comes as source only.
if ! command -v cc >/dev/null 2>&1 ||
    ! [ -f "$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]; then
    apt_install gcc libc6-dev python3-dev
fi

want=$(cat "$LOCK" pyproject.toml "$0" | sha256sum | cut -d' ' -f1)
if [ -x "$VENV/bin/python" ] && [ "$(cat "$VENV/.locked" 2>/dev/null)" = "$want" ]; then exec sh scripts/console.sh; fi
echo "wayside: setting up $VENV (about a minute, once)"
rm -rf "$VENV"
"$PYTHON" -m venv "$VENV" || stop "could not make a virtual environment; type: sudo apt-get install python3-venv"
"$VENV/bin/python" -m pip install -q --disable-pip-version-check --no-input --no-deps --require-hashes -r "$LOCK" ||
    stop "could not install the locked dependencies; check the network or your package index, then run make again"
"$VENV/bin/python" -m pip install -q --disable-pip-version-check --no-input --no-deps --no-build-isolation -e . ||
    stop "could not install wayside itself into $VENV; remove $VENV and run make again"
echo "$want" > "$VENV/.locked"
exec sh scripts/console.sh

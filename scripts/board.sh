#!/bin/sh
# Makes the virtual board's kernel ready (tests/board). Exit status 75 where this machine cannot run it, said in one
# sentence; any other but 0 is a failure. Idempotent.
set -eu
cd "$(dirname "$0")/.."
. scripts/apt.sh
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/wayside/board
PATH="$PATH:/usr/sbin:/sbin"

not_here() { echo "wayside: the virtual board is skipped: $*"; exit 75; }

[ "$(uname -m)" = x86_64 ] || not_here "User-Mode Linux needs an x86-64 machine, this one is $(uname -m)"
.venv/bin/python -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0)' ||
    not_here "ptrace is not allowed here; in a container type: docker run --cap-add SYS_PTRACE …"

missing=
while read -r program package; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $package"
done <<PROGRAMS
gcc build-essential
flex flex
bison bison
bc bc
xz xz-utils
mkfs.ext4 e2fsprogs
libslirp-helper libslirp-helper
PROGRAMS
if [ -n "$missing" ]; then
    can_install || not_here "$(echo $missing) missing; type: su -c 'apt-get install$missing'"
    # shellcheck disable=SC2086  # a list of packages
    apt_install $missing
fi
sh tests/board/kernel/build.sh "$CACHE"
if command -v qemu-system-x86_64 >/dev/null 2>&1 && command -v depmod >/dev/null 2>&1; then
    .venv/bin/python tests/board/kernel/stock.py "$CACHE/stock" ||
        echo "wayside: the board under QEMU is skipped: Debian's kernel cannot be made ready; type: sudo apt-get update"
fi

#!/bin/sh
# Builds the board's kernel from Debian's own source, its module and its disk's cache into the folder $1; needs no root.
# Idempotent: nothing happens while what they are made from stands as it was.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=$1
work=$cache/work
src=$work/linux-source-6.1
log=$cache/build.log
mkdir -p "$work/build"
# Two builds at once would take each other's files away.
exec 9>"$cache/lock"
flock 9

is_current() { [ "$(cat "$cache/$1.stamp" 2>/dev/null)" = "$2" ]; }
kernel_make() { nice make -s -C "$src" ARCH=um O="$work/build" -j"$(nproc)" "$@"; }
kernel=$(cat "$here/uml.config" "$here/pi.dts" "$here/xstate.c" "$0" | sha256sum)
module=$( (echo "$kernel"; cat "$here"/module/* "$here/volatile_cache.c") | sha256sum)
is_current module "$module" && exit 0

step="build the virtual board; see $log"
trap '[ $? -eq 0 ] || echo "wayside: could not $step" >&2' EXIT
exec 3>"$log"

if ! is_current kernel "$kernel" || [ ! -f "$work/build/Module.symvers" ]; then
    echo "wayside: building the virtual board's kernel (about 6 minutes on two cores, once)"
    if [ ! -d "$src" ]; then
        step="download linux-source-6.1; type: sudo apt-get update, then run make again"
        (cd "$work" && apt-get -qq download linux-source-6.1 2>&3)
        step="unpack the kernel's source into $work"
        dpkg -x "$work"/linux-source-6.1_*.deb "$work/deb"
        tar xJf "$work/deb/usr/src/linux-source-6.1.tar.xz" -C "$work"
        rm -r "$work"/linux-source-6.1_*.deb "$work/deb"
    fi
    step="build the virtual board's kernel; see $log"
    # User-Mode Linux's disk drops flush requests: they have no segments, so its I/O thread passes over them.
    sed -i 's/i < req->desc_cnt; i++)$/i < (req->desc_cnt ?: 1); i++)/' "$src/arch/um/drivers/ubd_kern.c"
    # On hosts with AMX it cannot restore a process's registers, and panics as it boots.
    registers=$src/arch/x86/um/os-Linux/registers.c
    [ -f "$registers.orig" ] || cp "$registers" "$registers.orig"
    sed -e "/^int have_xstate_support;/r $here/xstate.c" \
        -e '/^int save_fp_registers/,/^}/{s/iov_base = fp_regs/iov_base = whole_fp/;s/iov_len = .*/iov_len = sizeof(whole_fp);/' \
        -e 's/^\t\treturn 0;/\t\tkeep_fp(fp_regs);\n&/}' \
        -e '/^int restore_fp_registers/,/^}/{s/iov_base = fp_regs/iov_base = whole_fp/;s/iov_len = .*/iov_len = give_fp(fp_regs);/}' \
        -e '/^void arch_init_registers/,/^}/{s/iov_base = fp_regs/iov_base = whole_fp/;s/iov_len = .*/iov_len = sizeof(whole_fp);/' \
        -e 's/have_xstate_support = 1;/have_xstate_support = 1, whole_fp_bytes = iov.iov_len;/}' \
        "$registers.orig" > "$registers"
    kernel_make allnoconfig >&3 2>&3
    (cd "$src" && scripts/kconfig/merge_config.sh -m -O "$work/build" "$work/build/.config" "$here/uml.config" >&3 2>&3)
    kernel_make olddefconfig >&3 2>&3
    kernel_make linux modules >&3 2>&3
    strip -o "$cache/linux" "$work/build/linux"
    "$work/build/scripts/dtc/dtc" -q -I dts -O dtb -o "$cache/pi.dtb" "$here/pi.dts"
    echo "$kernel" > "$cache/kernel.stamp"
fi

step="build the virtual board's module; see $log"
rm -rf "$work/module"
cp -r "$here/module" "$work/module"
make -s -C "$work/build" M="$work/module" ARCH=um modules >&3 2>&3
strip --strip-debug -o "$cache/vboard.ko" "$work/module/vboard.ko"
gcc -O2 -Wall -Werror -shared -fPIC -o "$cache/volatile_cache.so" "$here/volatile_cache.c" -ldl 2>&3
echo "$module" > "$cache/module.stamp"

#!/bin/sh
# Makes the Debian systems ready that tests/install installs boards in: one that boots, one for another processor under
# emulation. Kept in the cache folder, because they take minutes. Exit status 75 where this machine cannot, said in one
# sentence; any other but 0 is a failure. Idempotent.
set -eu
cd "$(dirname "$0")/.."
. scripts/apt.sh
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/wayside/install
SUITE=bookworm
PATH="$PATH:/usr/sbin:/sbin"

not_here() { echo "wayside: the installation tests are skipped: $*"; exit 75; }

[ "$(id -u)" -eq 0 ] || not_here "they need root; type: sudo make test-install"
[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || not_here "they need Debian on x86-64"
unshare -m true 2>/dev/null || not_here "mounting is not allowed here; in a container type: docker run --privileged …"

missing=
while read -r program package; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $package"
done <<PROGRAMS
debootstrap debootstrap
systemd-nspawn systemd-container
qemu-aarch64-static qemu-user-static
shellcheck shellcheck
curl curl
PROGRAMS
# shellcheck disable=SC2086  # a list of packages
[ -z "$missing" ] || apt_install $missing

# The mirror that this machine installs from.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    sed -n 's/^URIs: *//p; s/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\).*/\2/p' | grep '/debian/*$' | head -n 1)
[ -n "$mirror" ] || not_here "apt has no Debian mirror to make a system from"

# The root for: architecture, packages.
make_root() {
    root=$CACHE/$SUITE-$1
    want="$SUITE $1 $2"
    [ "$(cat "$root.made" 2>/dev/null)" != "$want" ] || return 0
    echo "wayside: making a Debian system for $1 in $CACHE (minutes, once)"
    mkdir -p "$CACHE"
    rm -rf "$root" "$root.made"
    debootstrap --arch="$1" --variant=minbase --include="$2" "$SUITE" "$root" "$mirror" >"$root.log" 2>&1 || {
        tail -n 3 "$root.log" >&2
        stop "could not make it; $root.log says why"
    }
    rm -rf "$root"/var/cache/apt/archives/*.deb
    echo "$want" >"$root.made"
}

# Programs of another processor run through qemu once the kernel knows them.
emulates_arm64() {
    formats=/proc/sys/fs/binfmt_misc
    [ -e $formats/register ] || mount -t binfmt_misc binfmt_misc $formats 2>/dev/null || return 1
    [ -e $formats/qemu-aarch64 ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf >$formats/register 2>/dev/null
}

make_root amd64 ca-certificates,curl,dbus,python3,sudo,systemd-sysv
if emulates_arm64; then
    make_root arm64 ca-certificates,curl,python3
else
    echo "wayside: the arm64 system is skipped: this kernel has no binfmt_misc to run it with"
fi

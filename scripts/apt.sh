# For other scripts to source: packages from apt, or one sentence that says what to type.

stop() { echo "wayside: $*" >&2; exit 1; }

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

can_install() {
    command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null 2>&1; }
}

apt_install() {
    command -v apt-get >/dev/null 2>&1 || stop "$1 is missing; install it with your system's package manager, then run make again"
    can_install || stop "$1 is missing; type: su -c 'apt-get install $*'"
    echo "wayside: installing $* from apt"
    { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; } ||
        stop "could not install $*; type: sudo apt-get update && sudo apt-get install $*"
}

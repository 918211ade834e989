#!/usr/bin/env bash
# Installs what rolegate needs on Debian and Ubuntu, and only what is missing.
#
#   scripts/install.sh build    what compiling and running needs
#   scripts/install.sh test     also what `make test` drives: a PostgreSQL server, Python and Node.js
#   scripts/install.sh fuzz     as for build, and what libFuzzer is compiled with
#
# Each need is probed by what it gives (a command, a header, a pkg-config name), not by a package's name, so that tools from
# elsewhere count. Silent and quick when nothing is missing; otherwise one line says what is installed.
set -euo pipefail

mode=${1:-build}
case $mode in build | test | fuzz) ;; *)
    echo "usage: scripts/install.sh build|test|fuzz" >&2
    exit 2
    ;;
esac

missing=()

# need PACKAGE PROBE…: notes the package when its probe fails.
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

# any PATTERN: true when a file matches.
any() { compgen -G "$1"; }

# bindgen loads libclang and wants clang's own headers beside it: libclang1-NN alone fails with "stddef.h not found".
libclang() { any '/usr/lib/llvm-*/lib/libclang*.so*' && any '/usr/lib/llvm-*/lib/clang/*/include/stddef.h'; }

need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
need curl command -v curl
need gcc command -v cc
need libc6-dev test -e /usr/include/stdio.h
need make command -v make
need pkg-config command -v pkg-config
need libssl-dev pkg-config --exists openssl
need libxml2-dev pkg-config --exists libxml-2.0
need libxslt1-dev pkg-config --exists libxslt
need libxmlsec1-dev pkg-config --exists xmlsec1-openssl
need libclang-dev libclang
if [[ $mode == fuzz ]]; then
    need g++ command -v c++
fi
if [[ $mode == test ]]; then
    need postgresql any '/usr/lib/postgresql/*/bin/initdb'
    need xmlsec1 command -v xmlsec1
    need perl perl -Mopen -MFile::Basename -e 1
    need python3 command -v python3
    need python3-venv python3 -c 'import venv, ensurepip'
    need nodejs command -v node
    need npm command -v npm
fi

if ((${#missing[@]})); then
    sudo=()
    if ((EUID != 0)); then
        if ! sudo -n true 2>/dev/null && ! { [[ -t 0 ]] && sudo true; }; then
            echo "missing: ${missing[*]}; install them, on Debian or Ubuntu with: apt-get install ${missing[*]}" >&2
            exit 1
        fi
        sudo=(sudo)
    fi
    if ! command -v apt-get >/dev/null; then
        echo "missing: ${missing[*]} (names of Debian's packages); this system has no apt-get: install their like and run this again" >&2
        exit 1
    fi
    echo "installing ${missing[*]}"
    apt() { "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" </dev/null; }
    # Debian's postgresql makes and starts a cluster of its own, which nobody here asked for: only the programs are wanted.
    no_cluster=
    if [[ " ${missing[*]} " == *" postgresql "* && ! -e /etc/postgresql-common/createcluster.conf ]]; then
        no_cluster=/etc/postgresql-common/createcluster.d/rolegate.conf
        "${sudo[@]}" mkdir -p "${no_cluster%/*}"
        echo 'create_main_cluster = false' | "${sudo[@]}" tee "$no_cluster" >/dev/null
        trap '"${sudo[@]}" rm -f "$no_cluster"' EXIT
    fi
    apt update
    apt install --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! command -v cargo >/dev/null; then
    echo "cargo is missing: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml") or later, see https://rustup.rs" >&2
    exit 1
fi
if [[ $mode == test ]]; then
    for tool in fmt clippy; do
        if ! cargo "$tool" --version >/dev/null 2>&1; then
            echo "cargo $tool is missing: rustup component add rustfmt clippy" >&2
            exit 1
        fi
    done
fi

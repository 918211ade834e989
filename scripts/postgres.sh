#!/usr/bin/env bash
# Runs a command beside a PostgreSQL server of its own, made for it and removed after it, whatever way it ends.
#
#   scripts/postgres.sh [--durable] COMMAND [ARGUMENT…]
#
# The command finds the server in ROLEGATE_TEST_POSTGRES=postgres://…, as a user who may create databases. A missing PostgreSQL is an
# error. The server does not wait for the disk: no test cuts the machine's power, a killed process loses nothing that was written, and
# a commit costs a hundredth (0.02 ms for 2.7 ms on a plain virtual disk). --durable makes it wait, as in production: benchmarks need that.
set -euo pipefail

durable=off
if [[ ${1:-} == --durable ]]; then
    durable=on
    shift
fi
if (($# == 0)); then
    echo "usage: scripts/postgres.sh [--durable] COMMAND [ARGUMENT…]" >&2
    exit 2
fi

# The newest server that is installed.
bin=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1 || true)
bin=${bin:-$(command -v initdb || true)}
if [[ -z $bin ]]; then
    echo "PostgreSQL's server programs (initdb, postgres) are not installed: run scripts/install.sh test" >&2
    exit 1
fi
bin=$(dirname "$bin")

# PostgreSQL refuses to run as root.
as_user=()
if ((EUID == 0)); then
    user=nobody
    getent passwd postgres >/dev/null && user=postgres
    as_user=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
fi

set -m # each child leads a process group: an interrupt reaches this script first, which ends them in order
home=$(mktemp -d "${TMPDIR:-/tmp}/rolegate-postgres.XXXXXX")
server=
child=
finish() {
    local status=$?
    trap - EXIT INT TERM HUP
    if [[ -n $child ]]; then
        kill -- -"$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    if [[ -n $server ]]; then
        kill -INT "$server" 2>/dev/null || true # fast shutdown: open connections are cut
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$home"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if ((EUID == 0)); then chown "$user" "$home"; fi
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
printf '%s' "$password" >"$home/password"
chmod 644 "$home/password" # the directory itself is 0700
# - The collation is a linguistic one on purpose: whatever wrongly relies on the database's order shows here.
# - `password` and not scram: a handshake of scram costs 4096 rounds of hashing, dear in an unoptimised build; the wire is loopback.
if ! (cd / && "${as_user[@]}" "$bin/initdb" --pgdata="$home/data" --username=rolegate --pwfile="$home/password" --auth=password \
    --encoding=UTF8 --locale=C.UTF-8 --locale-provider=icu --icu-locale=en-US --no-sync) >"$home/log" 2>&1; then
    cat "$home/log" >&2
    exit 1
fi
cat >>"$home/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$home'
max_connections = 200
fsync = $durable
synchronous_commit = on
full_page_writes = $durable
log_min_messages = fatal
CONF

for try in 1 2 3 4 5 6 7 8; do
    port=$((20000 + RANDOM % 12000)) # below the range from which the kernel hands out ports
    # --pdeathsig: the server goes too when this script is killed outright.
    (cd / && exec "${as_user[@]:-setpriv}" --pdeathsig INT "$bin/postgres" -D "$home/data" -p "$port") >"$home/log" 2>&1 &
    server=$!
    while kill -0 "$server" 2>/dev/null; do
        # The server's own file says when it is ready: a port alone may be another server's.
        if [[ $(sed -n 8p "$home/data/postmaster.pid" 2>/dev/null) == ready* ]]; then break 2; fi
        sleep 0.05
    done
    wait "$server" || true
    server=
    if ((try == 8)) || ! grep -q 'could not bind' "$home/log"; then
        cat "$home/log" >&2
        exit 1
    fi
done

export ROLEGATE_TEST_POSTGRES="postgres://rolegate:$password@127.0.0.1:$port/postgres"
"$@" </dev/null &
child=$!
status=0
wait "$child" || status=$?
child=
exit "$status"

#!/usr/bin/env bash
# Builds the fuzz targets with the stable compiler and runs them one after the other, SECS seconds in all. Each begins with what lies in
# fuzz/corpus and with what earlier runs found (target/fuzz/corpus), and leaves an input that breaks a promise in target/fuzz/found.
set -euo pipefail
cd "$(dirname "$0")/.."
targets=("$@")
out=$PWD/target/fuzz
secs=$((${SECS:-60} / ${#targets[@]}))
[ "$secs" -gt 0 ] || secs=1

# What cargo-fuzz sets, but for the sanitizers, which only a nightly compiler has.
counted="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
counted+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
host=$(rustc -vV | sed -n 's/^host: //p')
echo "== build the fuzz targets (the first time some minutes)"
# The very versions that the product is built with; cargo adds what fuzzing needs besides.
[ fuzz/Cargo.lock -nt Cargo.lock ] || cp Cargo.lock fuzz/Cargo.lock
# With --target, so that the flags are not for build scripts and macros.
(cd fuzz && RUSTFLAGS=$counted CARGO_TARGET_DIR=$out cargo build --quiet --target "$host")

for target in "${targets[@]}"; do
    echo "== $target, $secs seconds"
    mkdir -p "$out/corpus/$target" "$out/found/$target"
    log=$out/found/$target.log
    "$out/$host/debug/$target" "$out/corpus/$target" "fuzz/corpus/$target" -dict=fuzz/saml.dict -artifact_prefix="$out/found/$target/" \
        -max_len=65536 -len_control=10 -max_total_time="$secs" -timeout=60 -rss_limit_mb=1024 -print_final_stats=1 >"$log" 2>&1 || {
        tail -n 40 "$log"
        echo "a promise is broken: the input is in $out/found/$target; fuzz/README.md says how to go on" >&2
        exit 1
    }
    grep -E 'inline 8-bit counters|DONE|stat::(number_of_executed_units|average_exec_per_sec|new_units_added|peak_rss_mb)' "$log"
done

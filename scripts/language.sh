#!/usr/bin/env bash
# Checks the plain English of comments and pages, and the links between pages.
#
#   scripts/language.sh            checks every file that Git knows, except those in scripts/language.todo
#   scripts/language.sh FILE…      checks these files
#
# A sentence fails if it starts with a relative pronoun or with "Nobody", has more than 35 words, or contains a banned phrase. A link fails
# if its file does not exist. The check is a floor: a sentence that passes can still be hard to read.
set -euo pipefail
cd "$(dirname "$0")/.."
if (($#)); then
    files=("$@")
else
    mapfile -t files < <(git ls-files '*.rs' '*.md' '*.sh' '*.toml' '*.yml' Makefile Dockerfile | grep -vxFf scripts/language.todo)
fi
exec perl scripts/language.pl "${files[@]}"

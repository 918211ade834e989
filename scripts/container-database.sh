#!/usr/bin/env bash
# Creates the gateway's role and database in the PostgreSQL container. The role owns this database and is not a superuser.
# The image runs the script as $POSTGRES_USER when the data volume is empty. docker-compose.yml mounts it.
set -euo pipefail

# psql reads the password itself: an argument would be visible in the list of processes.
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --set=name="${GATEWAY_DATABASE:-rolegate}" --username="$POSTGRES_USER" --dbname=postgres <<'SQL'
\set password `cat "$GATEWAY_PASSWORD_FILE"`
create role :"name" login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password :'password';
create database :"name" owner :"name";
SQL

-- A tenant's own schema can be declared in its file; only such a one is changed and withdrawn by files.
alter table custom_schema add column from_file boolean not null default false;

-- Clients that ask for what has changed since they last asked, ask for groups too.
create index directory_group_by_change on directory_group (tenant, connection, changed_at_ms, id);

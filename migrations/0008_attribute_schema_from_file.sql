-- A tenant's own schema can be declared in its file; only such a one is changed and withdrawn by files.
alter table custom_schema add column from_file boolean not null default false;

-- Refusals of one kind that repeat are counted in one row. The provisioning log keeps the id that a client gave its request.

alter table sign_in_log add column occurrences bigint not null default 1;
alter table sign_in_log add column last_at_ms bigint;              -- of the last occurrence; null: there was one

alter table provisioning_log add column occurrences bigint not null default 1;
alter table provisioning_log add column last_at_ms bigint;         -- of the last occurrence; null: there was one
alter table provisioning_log add column client_request_id text;

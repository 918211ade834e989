-- Raised by every change of what the account holds, so that permission checks need not read it again.
alter table account add column held_version bigint not null default 0;

-- Assignments are sought by their ids with every origin. PostgreSQL takes the newest of the indexes that cost the same, and in a table
-- that is nearly empty all of them do: without this one, a plan made in the first minute of an installation goes through all assignments
-- of the tenant until the tables are analysed again.
create unique index assignment_by_id on assignment (id);

-- Raised by every change of what the account holds, so that permission checks need not read it again; no row: never changed since the account
-- was made. It stands apart from the account: a change that releases what another account retained has no lock of that one.
create table held_version (
    tenant text not null,
    account keytext not null,
    version bigint not null,
    primary key (tenant, account)
);

-- Assignments are sought by their ids with every origin. PostgreSQL takes the newest of the indexes that cost the same, and in a table
-- that is nearly empty all of them do: without this one, a plan made in the first minute of an installation goes through all assignments
-- of the tenant until the tables are analysed again.
create unique index assignment_by_id on assignment (id);

-- Organizations as people keep them.

-- The first lock in the order of locks: who makes, moves or deletes organizations holds the row of the tenant's tree.
create table organization_tree (
    tenant text primary key references tenant (id)
);
insert into organization_tree (tenant) select id from tenant;

alter table organization add column version bigint not null default 1;      -- for conditional requests; of its settings too
alter table organization drop column language;                              -- among the settings

-- What an organization says for itself and for all that lies below it; there is a row where something was said.
create table organization_settings (
    tenant text not null,
    organization keytext not null,
    document text not null,
    primary key (tenant, organization),
    foreign key (tenant, organization) references organization (tenant, id) on delete cascade
);

-- Whether somebody takes part in the organization; whether they may sign in at all stands with the account.
alter table membership add column status text not null default 'active';
create index membership_by_organization on membership (tenant, organization, account);
create index account_by_home on account (tenant, home_organization, id) where home_organization is not null;

create index resource_scope_by_organization on resource_scope (tenant, organization, id);
create index assignment_by_scope on assignment (tenant, resource_scope) where resource_scope <> '';

-- Connections that an organization uses beside its own.
create table connection_use (
    tenant text not null,
    organization keytext not null,
    connection keytext not null,
    enabled_by text,                            -- null: the operator of the host
    enabled_at_ms bigint not null,
    primary key (tenant, organization, connection),
    foreign key (tenant, organization) references organization (tenant, id) on delete cascade,
    foreign key (tenant, connection) references connection (tenant, id) on delete cascade
);
create index connection_use_by_connection on connection_use (tenant, connection, organization);

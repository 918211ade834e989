-- Roles, accounts and groups as people keep them.

-- For conditional requests: raised by every change of the row.
alter table role add column version bigint not null default 1;
alter table account add column version bigint not null default 1;

-- When somebody with the right marked the account as verified; null: it is not.
alter table account add column verified_at_ms bigint;

-- Who was the first in an organization, for each role that its first user gets. It stays when the account or the role is gone:
-- nobody is the first a second time.
create table first_user (
    tenant text not null references tenant (id),
    organization keytext not null,
    role keytext not null,
    account keytext not null,
    at_ms bigint not null,
    primary key (tenant, organization, role)
);

-- Groups that no identity provider keeps. Their ids are of one kind with those of directory groups.
create table local_group (
    tenant text not null references tenant (id),
    id keytext not null,
    organization keytext not null,
    name text not null,
    name_key keytext not null,
    version bigint not null,
    created_at_ms bigint not null,
    changed_at_ms bigint not null,
    primary key (tenant, id),
    unique (tenant, organization, name_key),
    foreign key (tenant, organization) references organization (tenant, id)
);

create table local_group_member (
    tenant text not null,
    local_group keytext not null,
    account keytext not null,
    since_ms bigint not null,
    primary key (tenant, local_group, account),
    foreign key (tenant, local_group) references local_group (tenant, id) on delete cascade,
    foreign key (tenant, account) references account (tenant, id) on delete cascade
);
create index local_group_member_by_account on local_group_member (tenant, account, local_group);

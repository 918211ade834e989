-- Roles that are given together, under a name.
create table role_set (
    tenant text not null references tenant (id),
    id keytext not null,
    name text not null,
    name_key keytext not null,
    created_at_ms bigint not null,
    primary key (tenant, id),
    unique (tenant, name_key)
);

create table role_set_role (
    tenant text not null,
    role_set keytext not null,
    role keytext not null,
    primary key (tenant, role_set, role),
    foreign key (tenant, role_set) references role_set (tenant, id) on delete cascade,
    foreign key (tenant, role) references role (tenant, id) on delete cascade
);
create index role_set_role_by_role on role_set_role (tenant, role);

-- What running SCIM connections needs beside the directory itself: a log, OAuth clients, a tenant's own schema, and alarms.

-- One row per request; no values of persons, no secrets, and the path without its query.
create table provisioning_log (
    tenant text not null,
    connection keytext not null,
    id keytext not null,
    at_ms bigint not null,
    method text not null,
    resource text not null,
    status bigint not null,
    scim_type text,
    detail text,                                -- of a refusal, in the words that the client was told
    facts_changed bigint not null,
    assignments_changed bigint not null,
    duration_ms bigint not null,
    correlation text not null,
    primary key (tenant, connection, id),
    foreign key (tenant, connection) references connection (tenant, id) on delete cascade
);
create index provisioning_log_by_time on provisioning_log (at_ms);

create table oauth_client (
    tenant text not null,
    connection keytext not null,
    id keytext not null,                        -- the client_id
    name text not null,
    created_at_ms bigint not null,
    revoked_at_ms bigint,
    primary key (tenant, connection, id),
    foreign key (tenant, connection) references connection (tenant, id) on delete cascade
);

-- Two of a client may live at a time, so that one can be changed for another while both work.
create table oauth_secret (
    tenant text not null,
    connection keytext not null,
    client keytext not null,
    id keytext not null,
    hash keytext not null unique,               -- SHA-256, lower-case hexadecimal
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    revoked_at_ms bigint,
    last_used_at_ms bigint,
    primary key (tenant, connection, client, id),
    foreign key (tenant, connection, client) references oauth_client (tenant, connection, id) on delete cascade
);

-- Short-lived; gone when they have expired.
create table oauth_access_token (
    tenant text not null,
    connection keytext not null,
    client keytext not null,
    secret keytext not null,
    id keytext not null,
    hash keytext not null unique,
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    primary key (tenant, connection, id),
    foreign key (tenant, connection, client, secret) references oauth_secret (tenant, connection, client, id) on delete cascade
);
create index oauth_access_token_by_expiry on oauth_access_token (expires_at_ms);

-- A tenant's own extension of User, as it was declared.
create table custom_schema (
    tenant text primary key references tenant (id),
    document text not null,
    version bigint not null,
    changed_at_ms bigint not null
);

-- Warnings that were given: each credential's 30, 14, 7 and 1 days before its end, once.
create table expiry_alert (
    tenant text not null,
    connection keytext not null,
    credential keytext not null,                -- a token or a client's secret
    days bigint not null,
    given_at_ms bigint not null,
    primary key (tenant, connection, credential, days),
    foreign key (tenant, connection) references connection (tenant, id) on delete cascade
);

-- When a connection last spoke, written at most once a minute, and since when it is known to be silent.
create table connection_activity (
    tenant keytext not null,
    connection keytext not null,
    last_request_at_ms bigint not null,
    silence_alarmed_at_ms bigint,
    primary key (tenant, connection),
    foreign key (tenant, connection) references connection (tenant, id) on delete cascade
);

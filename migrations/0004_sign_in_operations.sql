-- What running sign-ins needs beside them: sessions that either side can end, rights as they were at sign-in, the metadata of identity
-- providers, sign-ins that only test, and the domains by which people find their identity provider.

alter table session add column subject keytext;     -- the NameID's value, by which the identity provider ends it
alter table session add column name_id text;        -- JSON: the NameID whole, as a LogoutRequest must repeat it
alter table session add column rights text;         -- JSON: what its account held at sign-in; null: what it holds now is all that counts
create index session_by_subject on session (tenant, connection, subject) where subject is not null;

-- Roles as they were when somebody signed in, under the hash of what they say.
create table role_version (
    tenant text not null references tenant (id),
    version keytext not null,                   -- SHA-256 of the document, lower-case hexadecimal
    document text not null,
    last_held_at_ms bigint not null,            -- by a session that began; written at most once a day
    primary key (tenant, version)
);
create index role_version_by_use on role_version (last_held_at_ms);

-- A domain may be claimed by several and is verified for one alone.
create table organization_domain (
    tenant text not null,
    organization keytext not null,
    domain keytext not null,                    -- lower case, in its ASCII form
    verification_token text not null,           -- what its TXT record has to say; no secret
    created_at_ms bigint not null,
    verified_at_ms bigint,
    primary key (tenant, organization, domain),
    foreign key (tenant, organization) references organization (tenant, id) on delete cascade
);
create unique index organization_domain_verified on organization_domain (domain) where verified_at_ms is not null;

-- Where a connection's metadata comes from, and what became of it.
create table idp_metadata (
    tenant text not null,
    connection keytext not null,
    url text,                                   -- null: it was uploaded
    auto_trust boolean not null,                -- an owner said so, for this address
    digest text,                                -- SHA-256 of the document that was read last, lower-case hexadecimal
    valid_until_ms bigint,
    set_by text,
    set_at_ms bigint not null,
    read_at_ms bigint,                          -- when a document was last read and understood
    failures bigint not null,                   -- in a row
    last_error text,
    due_at_ms bigint,                           -- when it is fetched next; null: never
    primary key (tenant, connection),
    foreign key (tenant, connection) references connection (tenant, id) on delete cascade
);
create index idp_metadata_due on idp_metadata (due_at_ms) where due_at_ms is not null;

-- What metadata brought and an owner has to decide. What was declined stays, so that it is not proposed again.
create table metadata_proposal (
    tenant text not null,
    connection keytext not null,
    id keytext not null,
    what keytext not null,                      -- certificate, or the name of an address
    key keytext not null,                       -- a certificate's fingerprint, or the address
    value text not null,                        -- a certificate in base64, or the address
    state text not null,                        -- open, accepted, declined, withdrawn
    proposed_at_ms bigint not null,
    decided_by text,
    decided_at_ms bigint,
    primary key (tenant, connection, id),
    unique (tenant, connection, what, key),
    foreign key (tenant, connection) references connection (tenant, id) on delete cascade
);

-- A sign-in that shows what it would do, and does nothing.
create table test_sign_in (
    tenant text not null,
    connection keytext not null,
    id keytext not null,
    hash keytext not null unique,               -- of the secret in its address, SHA-256, lower-case hexadecimal
    started_by keytext not null,
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    state text not null,                        -- waiting, begun, accepted, refused
    request keytext,                            -- the AuthnRequest's ID, once it has begun
    browser_hash keytext,                       -- of the browser in which it began
    result text,                                -- JSON, once it has ended
    primary key (tenant, connection, id),
    foreign key (tenant, connection) references connection (tenant, id) on delete cascade
);
create index test_sign_in_by_expiry on test_sign_in (expires_at_ms);

-- LogoutRequests of ours that wait for their answer.
create table logout_request (
    tenant text not null,
    connection keytext not null,
    id keytext not null,                        -- the LogoutRequest's ID
    expires_at_ms bigint not null,
    primary key (tenant, connection, id)
);
create index logout_request_by_expiry on logout_request (expires_at_ms);

-- The log of sign-ins says in parts what its message says in words.
alter table sign_in_log add column code text;
alter table sign_in_log add column expected text;
alter table sign_in_log add column got text;
alter table sign_in_log add column cure text;

-- What the administration API needs: requests that are made once, tokens of people and of applications, and where pruned audit rows ended.

-- One row per Idempotency-Key. The answer is sealed: it may hold a secret that is shown once.
create table idempotency (
    tenant text not null,
    caller keytext not null,                    -- the session or the API token
    route keytext not null,                     -- method and path, as the router has it
    key keytext not null,
    digest text not null,                       -- SHA-256 of the request
    answer text,                                -- null: under way, or nobody knows how it ended
    created_at_ms bigint not null,
    primary key (tenant, caller, route, key)
);
create index idempotency_by_time on idempotency (created_at_ms);

-- Made from a session and gone with it: whatever ends the session ends its tokens in the same transaction.
create table api_token (
    tenant text not null,
    id keytext not null,
    session keytext not null,
    account keytext not null,
    hash keytext not null unique,               -- SHA-256, lower-case hexadecimal
    name text not null,
    capabilities text not null,                 -- a JSON list of names; 'null': all that its account may do
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    revoked_at_ms bigint,
    last_used_at_ms bigint,
    primary key (tenant, id),
    foreign key (tenant, session) references session (tenant, id) on delete cascade
);
create index api_token_by_session on api_token (tenant, session);
create index api_token_by_account on api_token (tenant, account, id);
create index api_token_by_expiry on api_token (expires_at_ms);

-- Of applications behind the role store: they look at one organization and what is below it.
create table app_token (
    tenant text not null,
    id keytext not null,
    organization keytext not null,
    hash keytext not null unique,
    name text not null,
    created_by keytext,                         -- null: the operator of the host
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    revoked_at_ms bigint,
    last_used_at_ms bigint,
    primary key (tenant, id),
    foreign key (tenant, organization) references organization (tenant, id) on delete cascade
);
create index app_token_by_organization on app_token (tenant, organization);

-- The last row that was archived and pruned: the chain goes on from its seal.
create table audit_anchor (
    tenant text primary key references tenant (id),
    number bigint not null,
    seal text not null,
    tag text not null,                          -- HMAC over the row, with the key of the chain
    pruned_at_ms bigint not null
);

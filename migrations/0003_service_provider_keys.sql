-- Key pairs of ours, one set for each connection. `sealed` holds the private key under the master key; `sealed_next` the same under the
-- master key that is to follow, while `rolegate keys rewrap` is under way.

create table sp_key (
    tenant text not null,
    connection keytext not null,
    id keytext not null,
    certificate text not null,                  -- DER in base64
    fingerprint keytext not null,               -- SHA-256, lower-case hexadecimal
    subject text not null,
    key_kind text not null,
    not_before_ms bigint not null,
    not_after_ms bigint not null,
    sealed text not null,
    sealed_next text,
    state text not null,                        -- next: published; current: signs; retired: still decrypts
    added_by text,
    added_at_ms bigint not null,
    current_since_ms bigint,
    retired_by text,
    retired_at_ms bigint,
    last_decrypted_at_ms bigint,
    primary key (tenant, connection, id),
    unique (tenant, connection, fingerprint),
    foreign key (tenant, connection) references connection (tenant, id) on delete cascade
);
create unique index sp_key_current on sp_key (tenant, connection) where state = 'current';
create unique index sp_key_next on sp_key (tenant, connection) where state = 'next';
create index sp_key_to_rewrap on sp_key (tenant, connection, id) where sealed_next is null;

-- What a change of the master key leaves and needs. The chain of audit rows keeps its key over such a change, sealed under the new master
-- key; without one it is derived from the only master key there ever was.
create table master_key_change (
    id bigint primary key check (id = 1),
    chain_key text,
    next_key_check text,
    next_chain_key text
);
insert into master_key_change (id) values (1);

-- The portable subset: text, bigint, boolean. Times are milliseconds since 1970, documents are JSON, identifiers UUIDs as text.
-- `keytext` orders by bytes on both engines; what stands in such a column was folded before. The tenant leads every key.

create table installation (
    id bigint primary key check (id = 1),
    key_check text not null,                    -- proves that the master key is the one this database was written with
    created_at_ms bigint not null
);

create table tenant (
    id text primary key,
    slug keytext not null unique,
    name text not null,
    preset text not null,
    preset_version bigint not null,
    settings text not null,
    model_version bigint not null,              -- raised by every change of settings, organizations, scopes, catalogue or roles
    created_at_ms bigint not null
);

-- Locked last, and only by changes that touch an owner.
create table owner_floor (
    tenant text primary key references tenant (id)
);

create table organization (
    tenant text not null references tenant (id),
    id keytext not null,
    parent keytext,
    slug keytext not null,
    name text not null,
    language text,
    from_file boolean not null,
    created_at_ms bigint not null,
    primary key (tenant, id),
    unique (tenant, slug),
    foreign key (tenant, parent) references organization (tenant, id)
);

create table resource_scope (
    tenant text not null,
    id keytext not null,
    organization keytext not null,
    kind text not null,
    name text not null,
    created_at_ms bigint not null,
    primary key (tenant, id),
    foreign key (tenant, organization) references organization (tenant, id)
);

create table entity (
    tenant text not null references tenant (id),
    key keytext not null,
    document text not null,
    primary key (tenant, key)
);

create table role (
    tenant text not null references tenant (id),
    id keytext not null,
    preset_key text,
    name text not null,
    name_key keytext not null,
    description text not null,
    system boolean not null,
    owner_class boolean not null,
    root_only boolean not null,
    machine_only boolean not null,
    locked_fields text not null,
    exclusive_family text,
    rank bigint not null,
    managed_roles text not null,
    managed_groups text not null,
    auto_assign_on_join boolean not null,
    auto_assign_first_user boolean not null,
    scope_kind text,
    from_file boolean not null,
    created_at_ms bigint not null,
    primary key (tenant, id),
    unique (tenant, name_key)
);

create table role_permission (
    tenant text not null,
    role keytext not null,
    permission keytext not null,
    primary key (tenant, role, permission),
    foreign key (tenant, role) references role (tenant, id) on delete cascade
);

create table account (
    tenant text not null references tenant (id),
    id keytext not null,
    user_name text not null,
    user_name_key keytext not null,
    email text,
    email_key keytext,
    display_name text,
    kind text not null,
    home_organization keytext,
    profile_connection keytext,                 -- whose facts name the account; null: a local account
    status text not null,
    standing text not null default 'active',    -- what people decided of it; `status` is this while there is a way to sign in, else blocked
    has_local_credential boolean not null,      -- can sign in without any identity provider
    from_file boolean not null,
    created_at_ms bigint not null,
    changed_at_ms bigint not null,
    primary key (tenant, id),
    foreign key (tenant, home_organization) references organization (tenant, id)
);
create index account_by_user_name on account (tenant, user_name_key);
create index account_by_email on account (tenant, email_key);

create table membership (
    tenant text not null,
    account keytext not null,
    organization keytext not null,
    since_ms bigint not null,
    primary key (tenant, account, organization),
    foreign key (tenant, account) references account (tenant, id) on delete cascade,
    foreign key (tenant, organization) references organization (tenant, id)
);

create table connection (
    tenant text not null references tenant (id),
    id keytext not null,
    slug keytext not null unique,               -- across the installation: it stands in addresses
    organization keytext not null,
    audience text not null,
    authority text not null,
    enabled boolean not null,
    allow_owner_grants boolean not null,
    scim text not null,
    saml text not null,
    attributes text not null,
    version bigint not null,                    -- raised by every change of the connection, its certificates and its mapping
    mapping_version bigint not null,            -- the published one
    rules_due_ms bigint,                        -- when a rule begins or ends next; null: never
    from_file boolean not null,
    created_at_ms bigint not null,
    primary key (tenant, id),
    foreign key (tenant, organization) references organization (tenant, id)
);
create index connection_by_due on connection (rules_due_ms) where rules_due_ms is not null;

-- Every mapping ever published stays readable: what gave a role on some day is answered from here.
create table mapping (
    tenant text not null,
    connection keytext not null,
    version bigint not null,
    document text not null,
    published_by text,
    published_at_ms bigint not null,
    primary key (tenant, connection, version),
    foreign key (tenant, connection) references connection (tenant, id) on delete cascade
);

create table idp_certificate (
    tenant text not null,
    connection keytext not null,
    id keytext not null,
    der text not null,                          -- base64
    fingerprint keytext not null,               -- SHA-256, lower-case hexadecimal
    subject text not null,
    key_kind text not null,
    not_before_ms bigint not null,
    not_after_ms bigint not null,
    state text not null,                        -- next, current, retired
    from_file boolean not null,
    added_by text,
    added_at_ms bigint not null,
    retired_by text,
    retired_at_ms bigint,
    first_used_at_ms bigint,
    last_used_at_ms bigint,
    primary key (tenant, connection, id),
    unique (tenant, connection, fingerprint),
    foreign key (tenant, connection) references connection (tenant, id) on delete cascade
);

create table scim_token (
    tenant text not null,
    connection keytext not null,
    id keytext not null,
    hash keytext not null unique,               -- SHA-256, lower-case hexadecimal
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    revoked_at_ms bigint,
    last_used_at_ms bigint,
    primary key (tenant, connection, id),
    foreign key (tenant, connection) references connection (tenant, id) on delete cascade
);

-- What one connection says of one account: the facts, per source. `account` is also the id of the SCIM resource.
create table identity (
    tenant text not null,
    connection keytext not null,
    account keytext not null,
    subject keytext,                            -- SAML: written once, released by a change of the correlated SCIM attribute
    renamed boolean not null default false,     -- the correlated SCIM attribute changed since a subject was last linked
    active boolean not null,                    -- SCIM `active`; true while only SAML speaks
    scim_state text not null,                   -- none, live, deleted
    scim_document text,
    scim_user_name_key keytext,
    scim_external_id keytext,
    scim_display_name_key keytext,
    scim_version bigint not null,
    scim_created_at_ms bigint,
    scim_changed_at_ms bigint,
    scim_deleted_at_ms bigint,
    saml_document text,
    saml_groups text,                           -- JSON; null: never said
    saml_correlation_key keytext,
    saml_seen_at_ms bigint,
    mapping_version bigint not null,            -- it was last evaluated with; 0: never; negative: marked for another evaluation
    primary key (tenant, account, connection),
    foreign key (tenant, account) references account (tenant, id) on delete cascade,
    foreign key (tenant, connection) references connection (tenant, id)
);
create unique index identity_by_user_name on identity (tenant, connection, scim_user_name_key) where scim_state = 'live';
create index identity_by_external_id on identity (tenant, connection, scim_external_id, account) where scim_external_id is not null;
create index identity_by_display_name on identity (tenant, connection, scim_display_name_key, account) where scim_state = 'live';
create index identity_by_change on identity (tenant, connection, scim_changed_at_ms, account) where scim_state = 'live';
create index identity_listed on identity (tenant, connection, scim_state, account);
create unique index identity_by_subject on identity (tenant, connection, subject) where subject is not null;
create index identity_by_correlation on identity (tenant, connection, saml_correlation_key) where saml_correlation_key is not null;
create index identity_by_mapping on identity (tenant, connection, mapping_version, account) where scim_state <> 'deleted';
create index identity_marked on identity (mapping_version, tenant, connection) where mapping_version < 0 and scim_state <> 'deleted';
create index identity_by_deletion on identity (scim_deleted_at_ms) where scim_deleted_at_ms is not null;

create table identity_email (
    tenant text not null,
    connection keytext not null,
    account keytext not null,
    position bigint not null,
    value_key keytext not null,
    primary key (tenant, connection, account, position),
    foreign key (tenant, account, connection) references identity (tenant, account, connection) on delete cascade
);
create index identity_email_by_value on identity_email (tenant, connection, value_key, account);

create table directory_group (
    tenant text not null,
    id keytext not null,
    connection keytext not null,
    external_id keytext,
    display_name text not null,
    display_name_key keytext not null,
    pinned_value text not null,                 -- for rules: what the identity provider called it at first sight
    pinned_display text not null,
    version bigint not null,
    created_at_ms bigint not null,
    changed_at_ms bigint not null,
    primary key (tenant, id),
    foreign key (tenant, connection) references connection (tenant, id)
);
create index directory_group_listed on directory_group (tenant, connection, id);
create index directory_group_by_display_name on directory_group (tenant, connection, display_name_key, id);
create index directory_group_by_external_id on directory_group (tenant, connection, external_id, id) where external_id is not null;
create index directory_group_by_change on directory_group (tenant, connection, changed_at_ms, id);

create table group_member (
    tenant text not null,
    directory_group keytext not null,
    member keytext not null,                    -- an account or a group
    kind text not null,                         -- User, Group
    display text,
    primary key (tenant, directory_group, member),
    foreign key (tenant, directory_group) references directory_group (tenant, id) on delete cascade
);
-- Covers the walk from a member to its groups, so that no engine prefers the walk through a whole group.
create index group_member_by_member on group_member (tenant, member, directory_group);

create table assignment (
    tenant text not null,
    id keytext not null,
    account keytext not null,
    role keytext not null,
    organization keytext not null,
    resource_scope keytext not null,            -- '' where there is none
    reach text not null,
    created_at_ms bigint not null,
    primary key (tenant, id),
    unique (tenant, account, role, organization, resource_scope, reach),
    foreign key (tenant, account) references account (tenant, id) on delete cascade,
    foreign key (tenant, role) references role (tenant, id),
    foreign key (tenant, organization) references organization (tenant, id)
);
create index assignment_by_role on assignment (tenant, role);
create index assignment_by_organization on assignment (tenant, organization);

create table assignment_origin (
    tenant text not null,
    assignment keytext not null,
    account keytext not null,
    kind keytext not null,
    connection keytext not null,                -- '' where there is none
    rule keytext not null,                      -- '' where there is none
    granted_by text,
    may_delegate boolean not null,
    since_ms bigint not null,
    primary key (tenant, assignment, kind, connection, rule),
    foreign key (tenant, assignment) references assignment (tenant, id) on delete cascade
);
create index assignment_origin_by_account on assignment_origin (tenant, account);
create index assignment_origin_by_connection on assignment_origin (tenant, connection, rule);

create table session (
    tenant text not null,
    id keytext not null,
    hash keytext not null unique,               -- of the cookie's value
    csrf_hash keytext not null,
    account keytext not null,
    connection keytext,                         -- null: a local sign-in
    surface text not null,                      -- admin | self_service: what the sign-in was for
    session_index text,
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    last_seen_at_ms bigint not null,
    primary key (tenant, id),
    foreign key (tenant, account) references account (tenant, id) on delete cascade
);
create index session_by_account on session (tenant, account);
create index session_by_expiry on session (expires_at_ms);

create table sign_in_link (
    tenant text not null,
    id keytext not null,
    hash keytext not null unique,
    account keytext not null,
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    used_at_ms bigint,
    primary key (tenant, id),
    foreign key (tenant, account) references account (tenant, id) on delete cascade
);

create table authn_request (
    tenant text not null,
    connection keytext not null,
    id keytext not null,                        -- the AuthnRequest's ID
    browser_hash keytext not null,
    return_to text,
    expires_at_ms bigint not null,
    primary key (tenant, connection, id)
);
create index authn_request_by_expiry on authn_request (expires_at_ms);

create table consumed_assertion (
    tenant text not null,
    connection keytext not null,
    issuer keytext not null,
    id keytext not null,
    expires_at_ms bigint not null,
    primary key (tenant, connection, issuer, id)
);
create index consumed_assertion_by_expiry on consumed_assertion (expires_at_ms);

-- Refused and accepted sign-ins, in words, found by the reference number that the browser was shown.
create table sign_in_log (
    tenant text not null,
    connection keytext not null,
    id keytext not null,                        -- also the reference number
    at_ms bigint not null,
    outcome text not null,                      -- accepted, refused
    step text,
    message text not null,
    account keytext,
    primary key (tenant, connection, id)
);
create index sign_in_log_by_time on sign_in_log (at_ms);

-- What somebody should look at: a retained last owner, a renamed group, a subject that points elsewhere.
create table attention (
    tenant text not null,
    id keytext not null,
    at_ms bigint not null,
    kind text not null,
    connection keytext,
    account keytext,
    detail text not null,
    resolved_at_ms bigint,
    primary key (tenant, id)
);
create index attention_open on attention (tenant, kind, connection, account) where resolved_at_ms is null;

-- Rows get their gapless number and their seal right after the commit that wrote them, in one chain per tenant.
create table audit (
    tenant text not null,
    id keytext not null,
    at_ms bigint not null,
    actor_kind text not null,
    actor_id text,
    action text not null,
    target_kind text not null,
    target_id keytext not null,
    correlation text not null,
    detail text not null,
    number bigint,
    seal text,
    primary key (tenant, id)
);
create unique index audit_by_number on audit (tenant, number) where number is not null;
create index audit_unsealed on audit (tenant, id) where number is null;
create index audit_by_target on audit (tenant, target_kind, target_id, id);

create table outbox (
    tenant text not null,
    id keytext not null,
    at_ms bigint not null,
    kind text not null,
    subject_kind text not null,
    subject_id text not null,
    payload text not null,
    number bigint,
    primary key (tenant, id)
);
create unique index outbox_by_number on outbox (tenant, number) where number is not null;
create index outbox_unnumbered on outbox (tenant, id) where number is null;

create table chain_head (
    tenant text not null,
    chain text not null,                        -- audit, outbox
    number bigint not null,
    seal text not null,
    primary key (tenant, chain)
);

-- Locked by whoever is about to make or rename the person of a name; a name falls on one of a fixed number of slots.
create table turn (
    tenant text not null,
    connection keytext not null,
    slot bigint not null,
    primary key (tenant, connection, slot)
);

-- Totals without a hot row: each change adds to one of several stripes.
create table counter (
    tenant text not null,
    connection keytext not null,
    name keytext not null,
    stripe bigint not null,
    value bigint not null,
    primary key (tenant, connection, name, stripe)
);

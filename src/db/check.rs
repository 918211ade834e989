//! What the permission check needs of accounts, in one statement: what they hold, whether they are let in, and the versions of that and of
//! the role model at the same moment. One statement sees one state, so what it says is never older than the last commit before it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Db, DbError,
    assignment::{HeldColumns, OriginColumns},
    column,
    engine::Query,
};
use crate::domain::{
    account::SignInStatus,
    assignment::Assignment,
    id::{AccountId, AssignmentId, ConnectionId, TenantId},
};

/// What an account holds, and the version that every change of it raises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdings {
    pub version: i64,
    pub assignments: Vec<Assignment>,
}

impl Holdings {
    /// The connections that gave something of it.
    #[must_use]
    pub fn givers(&self) -> BTreeSet<ConnectionId> {
        self.assignments.iter().flat_map(|held| &held.origins).filter_map(|row| row.origin.connection()).collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState {
    pub status: SignInStatus,
    /// Of what the account holds now.
    pub held_version: i64,
}

/// A connection that gave something to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Giver {
    pub slug: String,
    /// The published one.
    pub mapping_version: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub model_version: i64,
    /// Those that are there.
    pub accounts: BTreeMap<AccountId, AccountState>,
    /// What those of them hold of whom it was not known.
    pub read: BTreeMap<AccountId, Arc<Holdings>>,
    pub givers: BTreeMap<ConnectionId, Giver>,
}

/// An account with an assignment, an account without one, an origin of the assignment `id` of the account, or a connection.
#[derive(sqlx::FromRow)]
struct Row {
    model_version: Option<i64>,
    account: Option<String>,
    status: Option<String>,
    held_version: Option<i64>,
    id: Option<String>,
    role: Option<String>,
    organization: Option<String>,
    resource_scope: Option<String>,
    reach: Option<String>,
    kind: Option<String>,
    connection: Option<String>,
    rule: Option<String>,
    granted_by: Option<String>,
    may_delegate: Option<bool>,
    since_ms: Option<i64>,
    slug: Option<String>,
    mapping_version: Option<i64>,
}

impl Row {
    fn giver(&self) -> Result<Option<(ConnectionId, Giver)>, DbError> {
        let (Some(connection), Some(slug), Some(mapping_version)) = (&self.connection, &self.slug, self.mapping_version) else {
            return Ok(None);
        };
        Ok(Some((column::id("assignment_origin.connection", connection)?, Giver { slug: slug.clone(), mapping_version })))
    }

    fn state(&self) -> Result<Option<(AccountId, AccountState)>, DbError> {
        let (Some(account), Some(status), Some(held_version)) = (&self.account, &self.status, self.held_version) else { return Ok(None) };
        let state = AccountState { status: column::word("account.status", status)?, held_version };
        Ok(Some((column::id("account.id", account)?, state)))
    }

    fn held(self) -> Option<HeldColumns> {
        Some(HeldColumns {
            id: self.id?,
            account: self.account?,
            role: self.role?,
            organization: self.organization?,
            resource_scope: self.resource_scope?,
            reach: self.reach?,
        })
    }

    fn origin(self) -> Option<(String, OriginColumns)> {
        let origin = OriginColumns {
            kind: self.kind?,
            connection: self.connection?,
            rule: self.rule?,
            granted_by: self.granted_by,
            may_delegate: self.may_delegate?,
            since_ms: self.since_ms?,
        };
        Some((self.id?, origin))
    }
}

/// A statement that begins `with asked (id, kind) as (values {($2, $3)})`: accounts of which it is `known` what they hold, `unknown` ones,
/// and each `giver` of what is known, a connection.
fn ask<'q>(
    db: &'q Db,
    sql: &'static str,
    tenant: TenantId,
    accounts: &BTreeSet<AccountId>,
    known: &BTreeMap<AccountId, Arc<Holdings>>,
) -> Query<'q> {
    let givers: BTreeSet<ConnectionId> = known.values().flat_map(|holdings| holdings.givers()).collect();
    let query = db.query_set(sql, accounts.len() + givers.len()).bind(tenant.to_string());
    let kind = |account| if known.contains_key(account) { "known" } else { "unknown" };
    let query = accounts.iter().fold(query, |query, account| query.bind(account.to_string()).bind(kind(account)));
    givers.iter().fold(query, |query, giver| query.bind(giver.to_string()).bind("giver"))
}

/// An account and the version of the role model, or the version alone; or a connection.
#[derive(sqlx::FromRow)]
struct StateRow {
    model_version: Option<i64>,
    id: Option<String>,
    word: Option<String>,
    version: Option<i64>,
}

/// As [`read_facts`], where all that the accounts hold is known: a few short columns, because each row and each column of it costs.
/// Nothing is in `read`.
pub async fn read_states(
    db: &Db,
    tenant: TenantId,
    accounts: &BTreeSet<AccountId>,
    known: &BTreeMap<AccountId, Arc<Holdings>>,
) -> Result<Option<Facts>, DbError> {
    let sql = "with asked (id, kind) as (values {($2, $3)})
        select t.model_version, a.id, a.status as word, coalesce(h.version, 0) as version
        from tenant t
        left join asked on asked.kind = 'known'
        left join account a on a.tenant = $1 and a.id = asked.id
        left join held_version h on h.tenant = $1 and h.account = a.id
        where t.id = $1
        union all
        select null, c.id, c.slug, c.mapping_version
        from asked cross join connection c
        where asked.kind = 'giver' and c.tenant = $1 and c.id = asked.id";
    let rows: Vec<StateRow> = ask(db, sql, tenant, accounts, known).all().await?;
    let Some(model_version) = rows.iter().find_map(|row| row.model_version) else { return Ok(None) };
    let mut facts = Facts { model_version, accounts: BTreeMap::new(), read: BTreeMap::new(), givers: BTreeMap::new() };
    for row in rows {
        let (Some(id), Some(word), Some(version)) = (row.id, row.word, row.version) else { continue };
        if row.model_version.is_some() {
            let state = AccountState { status: column::word("account.status", &word)?, held_version: version };
            facts.accounts.insert(column::id("account.id", &id)?, state);
        } else {
            facts.givers.insert(column::id("connection.id", &id)?, Giver { slug: word, mapping_version: version });
        }
    }
    Ok(Some(facts))
}

/// `None` when there is no such tenant. At least one account, and with the connections that gave what is known at most [`super::SET_LIMIT`].
///
/// Origins are sought by their account, not by each of its assignments: a third of the index look-ups. SQLite does not reorder a `cross join`,
/// nor what a `left join` follows: it would rather walk all accounts of the tenant than trust that few are asked about.
pub async fn read_facts(
    db: &Db,
    tenant: TenantId,
    accounts: &BTreeSet<AccountId>,
    known: &BTreeMap<AccountId, Arc<Holdings>>,
) -> Result<Option<Facts>, DbError> {
    let sql = "with asked (id, kind) as (values {($2, $3)})
        select t.model_version, a.id as account, a.status, coalesce(h.version, 0) as held_version, s.id, s.role, s.organization, s.resource_scope, s.reach, null as kind,
            null as connection, null as rule, null as granted_by, null as may_delegate, null as since_ms, null as slug, null as mapping_version
        from tenant t
        left join asked on asked.kind <> 'giver'
        left join account a on a.tenant = $1 and a.id = asked.id
        left join held_version h on h.tenant = $1 and h.account = a.id
        left join assignment s on s.tenant = $1 and s.account = a.id and asked.kind = 'unknown'
        where t.id = $1
        union all
        select null, o.account, null, null, o.assignment, null, null, null, null,
            o.kind, o.connection, o.rule, o.granted_by, o.may_delegate, o.since_ms, c.slug, c.mapping_version
        from asked cross join assignment_origin o
        left join connection c on c.tenant = o.tenant and c.id = o.connection
        where asked.kind = 'unknown' and o.tenant = $1 and o.account = asked.id
        union all
        select null, null, null, null, null, null, null, null, null, null, c.id, null, null, null, null, c.slug, c.mapping_version
        from asked cross join connection c
        where asked.kind = 'giver' and c.tenant = $1 and c.id = asked.id";
    let rows: Vec<Row> = ask(db, sql, tenant, accounts, known).all().await?;
    let Some(model_version) = rows.iter().find_map(|row| row.model_version) else { return Ok(None) };
    let (mut found, mut givers) = (BTreeMap::new(), BTreeMap::new());
    let mut held: BTreeMap<AssignmentId, Assignment> = BTreeMap::new();
    let mut origins = Vec::with_capacity(rows.len());
    for row in rows {
        givers.extend(row.giver()?);
        match row.state()? {
            Some((account, state)) => {
                found.insert(account, state);
                if let Some(columns) = row.held() {
                    let assignment = columns.read()?;
                    held.insert(assignment.id, assignment);
                }
            }
            None => origins.extend(row.origin()),
        }
    }
    for (assignment, origin) in origins {
        if let Some(held) = held.get_mut(&column::id("assignment_origin.assignment", &assignment)?) {
            held.origins.push(origin.read()?);
        }
    }
    let unknown = found.iter().filter(|(account, _)| !known.contains_key(account));
    let mut read: BTreeMap<AccountId, Holdings> =
        unknown.map(|(account, state)| (*account, Holdings { version: state.held_version, assignments: Vec::new() })).collect();
    for (_, mut assignment) in held {
        assignment.origins.sort_by_key(|row| row.origin);
        if let Some(holdings) = read.get_mut(&assignment.account) {
            holdings.assignments.push(assignment);
        }
    }
    let read = read.into_iter().map(|(account, holdings)| (account, Arc::new(holdings))).collect();
    Ok(Some(Facts { model_version, accounts: found, read, givers }))
}

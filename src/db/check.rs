//! What the permission check needs of accounts, in one statement: what they hold, whether they are let in, and the version of the role
//! model at the same moment. One statement sees one state, so what it says is never older than the last commit before it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Db, DbError, SET_LIMIT,
    assignment::{AssignmentColumns, assemble},
    column,
};
use crate::domain::{
    account::SignInStatus,
    assignment::Assignment,
    id::{AccountId, ConnectionId, TenantId},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFacts {
    pub status: SignInStatus,
    pub assignments: Vec<Assignment>,
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
    pub accounts: BTreeMap<AccountId, AccountFacts>,
    pub givers: BTreeMap<ConnectionId, Giver>,
}

#[derive(sqlx::FromRow)]
struct Row {
    model_version: i64,
    account: Option<String>,
    status: Option<String>,
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
    /// `None` where the account holds nothing.
    fn assignment(self) -> Option<AssignmentColumns> {
        Some(AssignmentColumns {
            id: self.id?,
            account: self.account?,
            role: self.role?,
            organization: self.organization?,
            resource_scope: self.resource_scope?,
            reach: self.reach?,
            kind: self.kind?,
            connection: self.connection?,
            rule: self.rule?,
            granted_by: self.granted_by,
            may_delegate: self.may_delegate?,
            since_ms: self.since_ms?,
        })
    }
}

/// `None` when there is no such tenant. At most [`SET_LIMIT`] accounts, and at least one.
pub async fn read_facts(db: &Db, tenant: TenantId, accounts: &BTreeSet<AccountId>) -> Result<Option<Facts>, DbError> {
    debug_assert!((1..=SET_LIMIT).contains(&accounts.len()));
    let sql = "select t.model_version, a.id as account, a.status, s.id, s.role, s.organization, s.resource_scope, s.reach,
            o.kind, o.connection, o.rule, o.granted_by, o.may_delegate, o.since_ms, c.slug, c.mapping_version
        from tenant t
        left join account a on a.tenant = t.id and a.id in ({$2})
        left join assignment s on s.tenant = a.tenant and s.account = a.id
        left join assignment_origin o on o.tenant = s.tenant and o.assignment = s.id
        left join connection c on c.tenant = o.tenant and c.id = o.connection
        where t.id = $1
        order by a.id, s.id, o.kind, o.connection, o.rule";
    let query = db.query_set(sql, accounts.len()).bind(tenant.to_string());
    let rows: Vec<Row> = accounts.iter().fold(query, |query, account| query.bind(account.to_string())).all().await?;
    let Some(model_version) = rows.first().map(|row| row.model_version) else { return Ok(None) };
    let mut statuses = BTreeMap::new();
    let mut givers = BTreeMap::new();
    let mut held = Vec::with_capacity(rows.len());
    let mut last = None;
    for row in rows {
        if row.account != last
            && let (Some(account), Some(status)) = (&row.account, &row.status)
        {
            statuses.insert(column::id("account.id", account)?, column::word::<SignInStatus>("account.status", status)?);
            last.clone_from(&row.account);
        }
        if let (Some(connection), Some(slug), Some(mapping_version)) = (&row.connection, &row.slug, row.mapping_version) {
            let id = column::id("assignment_origin.connection", connection)?;
            givers.entry(id).or_insert_with(|| Giver { slug: slug.clone(), mapping_version });
        }
        held.extend(row.assignment());
    }
    let mut held = assemble(held)?;
    let facts = |(id, status)| (id, AccountFacts { status, assignments: held.remove(&id).unwrap_or_default() });
    Ok(Some(Facts { model_version, accounts: statuses.into_iter().map(facts).collect(), givers }))
}

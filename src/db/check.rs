//! What the permission check needs of accounts, in one statement: what they hold, whether they are let in, and the version of the role
//! model at the same moment. One statement sees one state, so what it says is never older than the last commit before it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Db, DbError, SET_LIMIT,
    assignment::{HeldColumns, OriginColumns},
    column,
};
use crate::domain::{
    account::SignInStatus,
    assignment::Assignment,
    id::{AccountId, AssignmentId, ConnectionId, TenantId},
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

/// An account with an assignment, an account that holds nothing, or an origin of the assignment `id` of the account.
#[derive(sqlx::FromRow)]
struct Row {
    model_version: Option<i64>,
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
    fn giver(&self) -> Result<Option<(ConnectionId, Giver)>, DbError> {
        let (Some(connection), Some(slug), Some(mapping_version)) = (&self.connection, &self.slug, self.mapping_version) else {
            return Ok(None);
        };
        Ok(Some((column::id("assignment_origin.connection", connection)?, Giver { slug: slug.clone(), mapping_version })))
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

/// `None` when there is no such tenant. At most [`SET_LIMIT`] accounts, and at least one.
///
/// Origins are sought by their account, not by each of its assignments: a third of the index look-ups.
pub async fn read_facts(db: &Db, tenant: TenantId, accounts: &BTreeSet<AccountId>) -> Result<Option<Facts>, DbError> {
    debug_assert!((1..=SET_LIMIT).contains(&accounts.len()));
    let sql = "with asked (account) as (values {($2)})
        select t.model_version, a.id as account, a.status, s.id, s.role, s.organization, s.resource_scope, s.reach, null as kind,
            null as connection, null as rule, null as granted_by, null as may_delegate, null as since_ms, null as slug, null as mapping_version
        from tenant t
        left join (asked join account a on a.tenant = $1 and a.id = asked.account) on true
        left join assignment s on s.tenant = $1 and s.account = a.id
        where t.id = $1
        union all
        select null, o.account, null, o.assignment, null, null, null, null,
            o.kind, o.connection, o.rule, o.granted_by, o.may_delegate, o.since_ms, c.slug, c.mapping_version
        from asked
        join assignment_origin o on o.tenant = $1 and o.account = asked.account
        left join connection c on c.tenant = o.tenant and c.id = o.connection";
    let query = db.query_set(sql, accounts.len()).bind(tenant.to_string());
    let rows: Vec<Row> = accounts.iter().fold(query, |query, account| query.bind(account.to_string())).all().await?;
    let Some(model_version) = rows.iter().find_map(|row| row.model_version) else { return Ok(None) };
    let (mut found, mut givers) = (BTreeMap::new(), BTreeMap::new());
    let mut held: BTreeMap<AssignmentId, Assignment> = BTreeMap::new();
    let mut origins = Vec::with_capacity(rows.len());
    for row in rows {
        givers.extend(row.giver()?);
        match (&row.account, &row.status) {
            (Some(account), Some(status)) => {
                let status: SignInStatus = column::word("account.status", status)?;
                found.insert(column::id("account.id", account)?, AccountFacts { status, assignments: Vec::new() });
                if let Some(columns) = row.held() {
                    let assignment = columns.read()?;
                    held.insert(assignment.id, assignment);
                }
            }
            _ => origins.extend(row.origin()),
        }
    }
    for (assignment, origin) in origins {
        if let Some(held) = held.get_mut(&column::id("assignment_origin.assignment", &assignment)?) {
            held.origins.push(origin.read()?);
        }
    }
    for (_, mut assignment) in held {
        assignment.origins.sort_by_key(|row| row.origin);
        if let Some(facts) = found.get_mut(&assignment.account) {
            facts.assignments.push(assignment);
        }
    }
    Ok(Some(Facts { model_version, accounts: found, givers }))
}

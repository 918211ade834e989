//! Assignments and their origins, as rows.

use std::collections::BTreeMap;

use super::{
    DbError, SET_LIMIT, Tx, column,
    engine::{Ahead, Query, Target},
    identity::{dormant, identity_of_origin},
};
use crate::domain::{
    assignment::{Assignment, Holding, Origin, OriginRow},
    id::{AccountId, AssignmentId, ConnectionId, TenantId},
    time::Timestamp,
};

#[derive(sqlx::FromRow)]
struct AssignmentColumns {
    #[sqlx(flatten)]
    held: HeldColumns,
    #[sqlx(flatten)]
    origin: OriginColumns,
}

/// An assignment without its origins.
#[derive(sqlx::FromRow)]
pub(super) struct HeldColumns<Text = String> {
    pub id: Text,
    pub account: Text,
    pub role: Text,
    pub organization: Text,
    pub resource_scope: Text,
    pub reach: Text,
}

#[derive(sqlx::FromRow)]
pub(super) struct OriginColumns<Text = String> {
    pub kind: Text,
    pub connection: Text,
    pub rule: Text,
    pub granted_by: Option<Text>,
    pub may_delegate: bool,
    pub since_ms: i64,
    pub dormant: bool,
}

impl<Text: AsRef<str>> OriginColumns<Text> {
    pub(super) fn read(&self) -> Result<OriginRow, DbError> {
        let since = Timestamp::from_millis(self.since_ms);
        Ok(OriginRow { origin: origin(self)?, since, may_delegate: self.may_delegate, dormant: self.dormant })
    }
}

impl<Text: AsRef<str>> HeldColumns<Text> {
    pub(super) fn read(&self) -> Result<Assignment, DbError> {
        let holding = Holding {
            role: column::id("assignment.role", self.role.as_ref())?,
            organization: column::id("assignment.organization", self.organization.as_ref())?,
            resource_scope: column::id_or_empty("assignment.resource_scope", self.resource_scope.as_ref())?,
            reach: column::word("assignment.reach", self.reach.as_ref())?,
        };
        let (id, account) = (column::id("assignment.id", self.id.as_ref())?, column::id("assignment.account", self.account.as_ref())?);
        Ok(Assignment { id, account, holding, origins: Vec::new() })
    }
}

fn origin<Text: AsRef<str>>(row: &OriginColumns<Text>) -> Result<Origin, DbError> {
    let connection = || column::id("assignment_origin.connection", row.connection.as_ref());
    let rule = || column::id("assignment_origin.rule", row.rule.as_ref());
    let by = || column::optional_id("assignment_origin.granted_by", row.granted_by.as_ref().map(AsRef::as_ref));
    Ok(match row.kind.as_ref() {
        "manual" => Origin::Manual { by: by()? },
        "scim_rule" => Origin::ScimRule { connection: connection()?, rule: rule()? },
        "saml_rule" => Origin::SamlRule { connection: connection()?, rule: rule()? },
        "default" => Origin::Default { connection: connection()? },
        "auto_join" => Origin::AutoJoin,
        "first_user" => Origin::FirstUser,
        "invitation" => Origin::Invitation { by: by()? },
        "directory_sync" => Origin::DirectorySync { connection: connection()? },
        "bootstrap" => Origin::Bootstrap,
        "retention" => Origin::Retention,
        other => return Err(DbError::corrupt("assignment_origin.kind", other)),
    })
}

/// One row an origin, ordered by assignment, into assignments with their origins.
fn assemble(rows: Vec<AssignmentColumns>) -> Result<BTreeMap<AccountId, Vec<Assignment>>, DbError> {
    let mut found: BTreeMap<AccountId, Vec<Assignment>> = BTreeMap::new();
    for row in rows {
        let (mut assignment, origin) = (row.held.read()?, row.origin.read()?);
        let held = found.entry(assignment.account).or_default();
        match held.last_mut() {
            Some(last) if last.id == assignment.id => last.origins.push(origin),
            _ => {
                assignment.origins.push(origin);
                held.push(assignment);
            }
        }
    }
    Ok(found)
}

const LIST: &str = concat!(
    "select a.id, a.account, a.role, a.organization, a.resource_scope, a.reach, o.kind, o.connection, o.rule, o.granted_by, o.may_delegate, o.since_ms, ",
    dormant!(),
    " as dormant
     from assignment_origin o join assignment a on a.tenant = o.tenant and a.id = o.assignment",
    identity_of_origin!(),
    "where o.tenant = $1 and o.account in ({$2}) order by a.account, a.id, o.kind, o.connection, o.rule"
);

fn bind_accounts<'t>(query: Query<'t>, tenant: TenantId, accounts: &[AccountId]) -> Query<'t> {
    accounts.iter().fold(query.bind(tenant.to_string()), |query, account| query.bind(account.to_string()))
}

/// What each account holds, inside the transaction that has locked the accounts.
pub async fn held(tx: &mut Tx, tenant: TenantId, accounts: &[AccountId]) -> Result<BTreeMap<AccountId, Vec<Assignment>>, DbError> {
    held_ahead(tx, tenant, accounts).await?.fetch(tx).await
}

/// What is asked for of accounts before it is looked at.
pub struct HeldAhead(Vec<Ahead<AssignmentColumns>>);

impl HeldAhead {
    pub async fn fetch(self, tx: &mut Tx) -> Result<BTreeMap<AccountId, Vec<Assignment>>, DbError> {
        let mut found = BTreeMap::new();
        for rows in self.0 {
            found.append(&mut assemble(rows.fetch(tx).await?)?);
        }
        Ok(found)
    }
}

/// As [`held`], for whoever asks for something else of the accounts beside it.
pub async fn held_ahead(tx: &mut Tx, tenant: TenantId, accounts: &[AccountId]) -> Result<HeldAhead, DbError> {
    let mut asked = Vec::new();
    for chunk in accounts.chunks(SET_LIMIT) {
        asked.push(bind_accounts(tx.query_set(LIST, chunk.len()), tenant, chunk).ahead().await?);
    }
    Ok(HeldAhead(asked))
}

/// What one account holds now.
pub async fn list_held(source: impl Into<Target<'_>>, tenant: TenantId, account: AccountId) -> Result<Vec<Assignment>, DbError> {
    let mut source = source.into();
    let rows = bind_accounts(source.query_set(LIST, 1), tenant, &[account]).all().await?;
    Ok(assemble(rows)?.remove(&account).unwrap_or_default())
}

/// Accounts to which a connection gave something, in the order of ids.
pub async fn list_accounts_given(tx: &mut Tx, tenant: TenantId, connection: ConnectionId) -> Result<Vec<AccountId>, DbError> {
    let rows: Vec<(String,)> = tx
        .query("select distinct account from assignment_origin where tenant = $1 and connection = $2 order by account")
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .all()
        .await?;
    rows.iter().map(|(id,)| column::id("assignment_origin.account", id)).collect()
}

/// Inserts assignments without origins; the caller adds those in the same transaction.
pub async fn insert_assignments(
    tx: &mut Tx,
    tenant: TenantId,
    rows: &[(AssignmentId, AccountId, Holding)],
    now: Timestamp,
) -> Result<(), DbError> {
    for chunk in rows.chunks(SET_LIMIT) {
        let mut query = tx.query_set(
            "insert into assignment (tenant, id, account, role, organization, resource_scope, reach, created_at_ms) values {($1, $2, $3, $4, $5, $6, $7, $8)}",
            chunk.len(),
        );
        for (id, account, holding) in chunk {
            query = query
                .bind(tenant.to_string())
                .bind(id.to_string())
                .bind(account.to_string())
                .bind(holding.role.to_string())
                .bind(holding.organization.to_string())
                .bind(holding.resource_scope.map_or_else(String::new, |id| id.to_string()))
                .bind(holding.reach.as_str())
                .bind(now.millis());
        }
        query.later().await?;
    }
    Ok(())
}

/// One more reason for an assignment; one that is there already stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewOrigin {
    pub assignment: AssignmentId,
    pub account: AccountId,
    pub origin: Origin,
    pub may_delegate: bool,
}

pub async fn insert_origins(tx: &mut Tx, tenant: TenantId, rows: &[NewOrigin], now: Timestamp) -> Result<(), DbError> {
    for chunk in rows.chunks(SET_LIMIT) {
        let mut query = tx.query_set(
            "insert into assignment_origin (tenant, assignment, account, kind, connection, rule, granted_by, may_delegate, since_ms) values {($1, $2, $3, $4, $5, $6, $7, $8, $9)} on conflict do nothing",
            chunk.len(),
        );
        for row in chunk {
            query = query
                .bind(tenant.to_string())
                .bind(row.assignment.to_string())
                .bind(row.account.to_string())
                .bind(row.origin.kind())
                .bind(row.origin.connection().map_or_else(String::new, |id| id.to_string()))
                .bind(row.origin.rule().map_or_else(String::new, |id| id.to_string()))
                .bind(row.origin.granted_by().map(|id| id.to_string()))
                .bind(row.may_delegate)
                .bind(now.millis());
        }
        query.later().await?;
    }
    Ok(())
}

pub async fn delete_origins(tx: &mut Tx, tenant: TenantId, rows: &[(AssignmentId, Origin)]) -> Result<(), DbError> {
    for chunk in rows.chunks(SET_LIMIT) {
        let mut query = tx
            .query_set(
                "delete from assignment_origin where tenant = $1 and (assignment, kind, connection, rule) in (values {($2, $3, $4, $5)})",
                chunk.len(),
            )
            .bind(tenant.to_string());
        for (assignment, origin) in chunk {
            query = query
                .bind(assignment.to_string())
                .bind(origin.kind())
                .bind(origin.connection().map_or_else(String::new, |id| id.to_string()))
                .bind(origin.rule().map_or_else(String::new, |id| id.to_string()));
        }
        query.later().await?;
    }
    Ok(())
}

/// Invariant 2: of these assignments, those without an origin are gone.
pub async fn delete_unfounded(tx: &mut Tx, tenant: TenantId, assignments: &[AssignmentId]) -> Result<(), DbError> {
    for chunk in assignments.chunks(SET_LIMIT) {
        let mut query = tx
            .query_set(
                "delete from assignment where tenant = $1
                 and not exists (select 1 from assignment_origin o where o.tenant = assignment.tenant and o.assignment = assignment.id) and id in ({$2})",
                chunk.len(),
            )
            .bind(tenant.to_string());
        for assignment in chunk {
            query = query.bind(assignment.to_string());
        }
        query.later().await?;
    }
    Ok(())
}

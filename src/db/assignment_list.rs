//! Assignments as they are listed: with the names that people know, and every origin.

use super::{
    Db, DbError, column,
    engine::Target,
    statement::{Statement, text},
};
use crate::{
    domain::{
        assignment::Reach,
        id::{AccountId, AssignmentId, OrganizationId, RoleId, ScopeId, TenantId},
        time::Timestamp,
    },
    policy::places::Places,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAssignment {
    pub id: AssignmentId,
    pub account: AccountId,
    pub user_name: String,
    pub role: RoleId,
    pub role_name: String,
    pub organization: OrganizationId,
    pub organization_slug: String,
    pub resource_scope: Option<ScopeId>,
    pub scope_name: Option<String>,
    pub reach: Reach,
    pub origins: Vec<ListedOrigin>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedOrigin {
    pub kind: String,
    /// The slug.
    pub connection: Option<String>,
    /// The id.
    pub rule: Option<String>,
    pub granted_by: Option<AccountId>,
    pub may_delegate: bool,
    pub since: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    account: String,
    user_name: String,
    role: String,
    role_name: String,
    organization: String,
    slug: String,
    resource_scope: String,
    scope_name: Option<String>,
    reach: String,
}

#[derive(sqlx::FromRow)]
struct OriginColumns {
    assignment: String,
    kind: String,
    slug: Option<String>,
    rule: String,
    granted_by: Option<String>,
    may_delegate: bool,
    since_ms: i64,
}

impl Row {
    fn read(self) -> Result<ListedAssignment, DbError> {
        Ok(ListedAssignment {
            id: column::id("assignment.id", &self.id)?,
            account: column::id("assignment.account", &self.account)?,
            user_name: self.user_name,
            role: column::id("assignment.role", &self.role)?,
            role_name: self.role_name,
            organization: column::id("assignment.organization", &self.organization)?,
            organization_slug: self.slug,
            resource_scope: column::id_or_empty("assignment.resource_scope", &self.resource_scope)?,
            scope_name: self.scope_name,
            reach: column::word("assignment.reach", &self.reach)?,
            origins: Vec::new(),
        })
    }
}

impl OriginColumns {
    fn read(self) -> Result<(AssignmentId, ListedOrigin), DbError> {
        let origin = ListedOrigin {
            kind: self.kind,
            connection: self.slug,
            rule: (!self.rule.is_empty()).then_some(self.rule),
            granted_by: column::optional_id("assignment_origin.granted_by", self.granted_by.as_deref())?,
            may_delegate: self.may_delegate,
            since: Timestamp::from_millis(self.since_ms),
        };
        Ok((column::id("assignment_origin.assignment", &self.assignment)?, origin))
    }
}

/// Which assignments are asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked<'a> {
    /// Those at these organizations; everywhere when it is `None`.
    pub places: Option<&'a Places>,
    pub id: Option<AssignmentId>,
    pub accounts: Option<&'a [AccountId]>,
    pub role: Option<RoleId>,
    pub organization: Option<OrganizationId>,
}

/// A page in the order of ids, after `after`.
pub async fn list_assignments(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    asked: &Asked<'_>,
    after: Option<AssignmentId>,
    limit: i64,
) -> Result<Vec<ListedAssignment>, DbError> {
    let mut statement = Statement::new(
        "select a.id, a.account, account.user_name, a.role, role.name as role_name, a.organization, organization.slug, a.resource_scope,
             scope.name as scope_name, a.reach
         from assignment a
         join account on account.tenant = a.tenant and account.id = a.account
         join role on role.tenant = a.tenant and role.id = a.role
         join organization on organization.tenant = a.tenant and organization.id = a.organization
         left join resource_scope scope on scope.tenant = a.tenant and scope.id = a.resource_scope
         where a.tenant = ?",
        [text(&tenant)],
    );
    if let Some(after) = after {
        statement.push(" and a.id > ?", [text(&after)]);
    }
    if let Some(id) = asked.id {
        statement.push(" and a.id = ?", [text(&id)]);
    }
    if let Some(Places::Only(places)) = asked.places {
        statement.push(" and a.organization in ", []).push_set(places.iter().map(ToString::to_string));
    }
    if let Some(accounts) = asked.accounts {
        statement.push(" and a.account in ", []).push_set(accounts.iter().map(ToString::to_string));
    }
    if let Some(role) = asked.role {
        statement.push(" and a.role = ?", [text(&role)]);
    }
    if let Some(organization) = asked.organization {
        statement.push(" and a.organization = ?", [text(&organization)]);
    }
    statement.push(" order by a.id limit ?", [limit.into()]);
    let mut source = source.into();
    let rows = statement.all::<Row>(source.again()).await?.into_iter().map(Row::read).collect::<Result<Vec<_>, _>>()?;
    with_origins(source, tenant, rows).await
}

async fn with_origins(source: Target<'_>, tenant: TenantId, mut rows: Vec<ListedAssignment>) -> Result<Vec<ListedAssignment>, DbError> {
    if rows.is_empty() {
        return Ok(rows);
    }
    let mut statement = Statement::new(
        "select o.assignment, o.kind, connection.slug, o.rule, o.granted_by, o.may_delegate, o.since_ms
         from assignment_origin o left join connection on connection.tenant = o.tenant and connection.id = o.connection
         where o.tenant = ? and o.assignment in ",
        [text(&tenant)],
    );
    statement.push_set(rows.iter().map(|row| row.id.to_string()));
    statement.push(" order by o.assignment, o.since_ms, o.kind, o.connection, o.rule", []);
    for origin in statement.all::<OriginColumns>(source).await? {
        let (id, origin) = origin.read()?;
        if let Ok(at) = rows.binary_search_by_key(&id, |row| row.id) {
            rows[at].origins.push(origin);
        }
    }
    Ok(rows)
}

/// How many accounts hold each role, for the roles that somebody holds.
pub async fn count_holders(source: impl Into<Target<'_>>, tenant: TenantId) -> Result<Vec<(RoleId, i64)>, DbError> {
    let sql = "select role, count(distinct account) from assignment where tenant = $1 group by role";
    let rows: Vec<(String, i64)> = source.into().query(sql).bind(tenant.to_string()).all().await?;
    rows.into_iter().map(|(role, count)| Ok((column::id("assignment.role", &role)?, count))).collect()
}

/// How many accounts hold this role.
pub async fn count_holders_of(source: impl Into<Target<'_>>, tenant: TenantId, role: RoleId) -> Result<i64, DbError> {
    let sql = "select count(distinct account) from assignment where tenant = $1 and role = $2";
    let row: Option<(i64,)> = source.into().query(sql).bind(tenant.to_string()).bind(role.to_string()).optional().await?;
    Ok(row.map_or(0, |(count,)| count))
}

/// How many accounts hold each role at these places, for the roles that somebody holds there.
pub async fn count_holders_at(db: &Db, tenant: TenantId, places: &Places) -> Result<Vec<(RoleId, i64)>, DbError> {
    let mut statement = Statement::new("select role, count(distinct account) from assignment where tenant = ?", [text(&tenant)]);
    if let Places::Only(places) = places {
        statement.push(" and organization in ", []).push_set(places.iter().map(ToString::to_string));
    }
    statement.push(" group by role", []);
    let rows: Vec<(String, i64)> = statement.all(db).await?;
    rows.into_iter().map(|(role, count)| Ok((column::id("assignment.role", &role)?, count))).collect()
}

/// How many assignments a role has.
pub async fn count_assignments_at(source: impl Into<Target<'_>>, tenant: TenantId, role: RoleId, places: &Places) -> Result<i64, DbError> {
    let mut statement = Statement::new("select count(*) from assignment where tenant = ? and role = ?", [text(&tenant), text(&role)]);
    if let Places::Only(places) = places {
        statement.push(" and organization in ", []).push_set(places.iter().map(ToString::to_string));
    }
    let rows: Vec<(i64,)> = statement.all(source).await?;
    Ok(rows.first().map_or(0, |(count,)| *count))
}

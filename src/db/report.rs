//! Counted rows: how much of what a tenant has, and how many accounts hold a role at an organization, and because of what.
//!
//! Nobody waits for a report, and no request but the one for it counts rows. Each count goes through an index that begins with the tenant; who
//! looks at some organizations has theirs counted and no others: `assignment_by_organization` leads to them, the key of
//! `assignment_origin` from each to its origins.

use super::{
    Db, DbError, column,
    identity::{dormant, identity_of_origin},
    statement::{Statement, text},
};
use crate::{
    domain::id::{OrganizationId, RoleId, TenantId},
    policy::places::Places,
};

/// How many rows a tenant has of each kind.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Counted {
    pub organizations: i64,
    pub connections: i64,
    pub roles: i64,
    /// Those that are no role of the preset.
    pub custom_roles: i64,
    pub assignments: i64,
    /// Of directories, and local ones.
    pub groups: i64,
    pub people: i64,
    pub machines: i64,
    /// Of both, those that may sign in.
    pub active: i64,
}

pub async fn count(db: &Db, tenant: TenantId) -> Result<Counted, DbError> {
    let sql = "select
            (select count(*) from organization where tenant = $1) as organizations,
            (select count(*) from connection where tenant = $1) as connections,
            (select count(*) from role where tenant = $1) as roles,
            (select count(*) from role where tenant = $1 and preset_key is null) as custom_roles,
            (select count(*) from assignment where tenant = $1) as assignments,
            (select count(*) from directory_group where tenant = $1) + (select count(*) from local_group where tenant = $1) as groups,
            (select count(*) from account where tenant = $1 and kind = 'human') as people,
            (select count(*) from account where tenant = $1 and kind = 'machine') as machines,
            (select count(*) from account where tenant = $1 and status = 'active') as active";
    let row = db.query(sql).bind(tenant.to_string()).optional().await?;
    row.ok_or_else(|| DbError::corrupt("a count", "it has no row"))
}

/// How many accounts hold a role at an organization for one kind of reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub organization: OrganizationId,
    pub organization_slug: String,
    pub role: RoleId,
    pub role_name: String,
    /// The kind of origin, as the store calls it.
    pub origin: String,
    pub accounts: i64,
    /// Those of them that may sign in, and for whom the reason is not dormant.
    pub active: i64,
}

/// Where a row stands in the order of the report.
pub type Position = (OrganizationId, RoleId, String);

#[derive(sqlx::FromRow)]
struct Row {
    organization: String,
    slug: String,
    role: String,
    name: String,
    kind: String,
    accounts: i64,
    active: i64,
}

/// A page in the order of organization, role and kind of origin, behind `after`.
pub async fn list_held(
    db: &Db,
    tenant: TenantId,
    places: &Places,
    role: Option<RoleId>,
    after: Option<&Position>,
    limit: i64,
) -> Result<Vec<Held>, DbError> {
    // SQLite keeps the order of a cross join. Left to itself it begins with every origin that the tenant has, whatever is asked for.
    let mut statement = Statement::new(
        concat!(
            "select a.organization, organization.slug, a.role, role.name, o.kind, count(distinct a.account) as accounts,
             count(distinct case when account.status = 'active' and not ",
            dormant!(),
            " then a.account end) as active
         from assignment a
         cross join assignment_origin o",
            identity_of_origin!(),
            "
         join account on account.tenant = a.tenant and account.id = a.account
         join role on role.tenant = a.tenant and role.id = a.role
         join organization on organization.tenant = a.tenant and organization.id = a.organization
         where a.tenant = ? and o.tenant = a.tenant and o.assignment = a.id"
        ),
        [text(&tenant)],
    );
    if let Places::Only(places) = places {
        statement.push(" and a.organization in ", []).push_set(places.iter().map(ToString::to_string));
    }
    if let Some(role) = role {
        statement.push(" and a.role = ?", [text(&role)]);
    }
    if let Some((organization, role, kind)) = after {
        statement.push(" and (a.organization, a.role, o.kind) > (?, ?, ?)", [text(organization), text(role), text(kind)]);
    }
    let order = " group by a.organization, organization.slug, a.role, role.name, o.kind order by a.organization, a.role, o.kind limit ?";
    statement.push(order, [limit.into()]);
    let rows = statement.all::<Row>(db).await?;
    let read = |row: Row| {
        Ok(Held {
            organization: column::id("assignment.organization", &row.organization)?,
            organization_slug: row.slug,
            role: column::id("assignment.role", &row.role)?,
            role_name: row.name,
            origin: row.kind,
            accounts: row.accounts,
            active: row.active,
        })
    };
    rows.into_iter().map(read).collect()
}

//! Reads the roles and tokens that reach an organization from the organizations above it.

use std::collections::BTreeSet;

use super::{
    DbError, column,
    engine::Target,
    statement::{Statement, text},
};
use crate::{
    domain::{
        id::{OrganizationId, TenantId},
        time::Timestamp,
    },
    policy::inheritance::Reaching,
};

/// A role that reaches further than its organization, with the account that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachingRow {
    pub reaching: Reaching,
    pub user_name: String,
    /// The home of the account.
    pub home: Option<OrganizationId>,
}

#[derive(sqlx::FromRow)]
struct Row {
    account: String,
    user_name: String,
    home_organization: Option<String>,
    role: String,
    organization: String,
    delegable: i64,
}

impl Row {
    fn read(self) -> Result<ReachingRow, DbError> {
        let reaching = Reaching {
            account: column::id("assignment.account", &self.account)?,
            role: column::id("assignment.role", &self.role)?,
            organization: column::id("assignment.organization", &self.organization)?,
            may_delegate: self.delegable > 0,
        };
        let home = column::optional_id("account.home_organization", self.home_organization.as_deref())?;
        Ok(ReachingRow { reaching, user_name: self.user_name, home })
    }
}

/// Lists the roles held with reach `subtree` at the organizations `at`. It also lists the same roles of the same accounts held at `kept`.
/// The order is that of user names, roles and organizations.
pub async fn list_reaching(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    at: &BTreeSet<OrganizationId>,
    kept: &BTreeSet<OrganizationId>,
    limit: i64,
) -> Result<Vec<ReachingRow>, DbError> {
    let mut statement = Statement::new(
        "select a.account, account.user_name, account.home_organization, a.role, a.organization,
             (select count(*) from assignment_origin o where o.tenant = a.tenant and o.assignment = a.id and o.may_delegate) as delegable
         from assignment a join account on account.tenant = a.tenant and account.id = a.account
         where a.tenant = ? and a.reach = 'subtree' and a.resource_scope = '' and (a.organization in ",
        [text(&tenant)],
    );
    let ids = |set: &BTreeSet<OrganizationId>| set.iter().map(ToString::to_string).collect::<Vec<_>>();
    statement.push_set(ids(at)).push(" or (a.organization in ", []).push_set(ids(kept)).push(
        " and exists (select 1 from assignment other where other.tenant = a.tenant and other.account = a.account and other.role = a.role
              and other.reach = 'subtree' and other.resource_scope = '' and other.organization in ",
        [],
    );
    statement.push_set(ids(at)).push("))) order by account.user_name, a.account, a.role, a.organization limit ?", [limit.into()]);
    statement.all::<Row>(source).await?.into_iter().map(Row::read).collect()
}

/// Returns whether one of the organizations has an application token that is valid now.
pub async fn have_app_tokens(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    at: &BTreeSet<OrganizationId>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let mut statement = Statement::new(
        "select count(*) from app_token where tenant = ? and revoked_at_ms is null and expires_at_ms > ? and organization in ",
        [text(&tenant), now.millis().into()],
    );
    statement.push_set(at.iter().map(ToString::to_string));
    let rows: Vec<(i64,)> = statement.all(source).await?;
    Ok(rows.iter().any(|(count,)| *count > 0))
}

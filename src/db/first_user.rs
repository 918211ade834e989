//! Who was the first in an organization. One row for each role that the first one gets: the database lets one of many in.

use std::collections::BTreeSet;

use super::{DbError, SET_LIMIT, Tx, column};
use crate::domain::{
    id::{AccountId, OrganizationId, RoleId, TenantId},
    time::Timestamp,
};

/// A place among the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct First {
    pub organization: OrganizationId,
    pub role: RoleId,
    pub account: AccountId,
}

/// Which of these organizations had members before these joined. Owners that a file made have not registered, and do not count.
pub async fn list_settled(
    tx: &mut Tx,
    tenant: TenantId,
    joined: &[(AccountId, OrganizationId)],
) -> Result<BTreeSet<OrganizationId>, DbError> {
    let organizations: BTreeSet<OrganizationId> = joined.iter().map(|(_, organization)| *organization).collect();
    let organizations: Vec<OrganizationId> = organizations.into_iter().collect();
    let mut settled = BTreeSet::new();
    for chunk in organizations.chunks(SET_LIMIT) {
        let sql = "select m.organization, count(*) from membership m join account a on a.tenant = m.tenant and a.id = m.account
            where m.tenant = $1 and not a.from_file and m.organization in ({$2}) group by m.organization";
        let query = tx.query_set(sql, chunk.len()).bind(tenant.to_string());
        let rows: Vec<(String, i64)> = chunk.iter().fold(query, |query, id| query.bind(id.to_string())).all().await?;
        for (id, members) in rows {
            let id: OrganizationId = column::id("membership.organization", &id)?;
            let new = joined.iter().filter(|(_, organization)| *organization == id).count();
            if usize::try_from(members).is_ok_and(|members| members > new) {
                settled.insert(id);
            }
        }
    }
    Ok(settled)
}

/// Who of these is the first; another transaction that claims the same is waited for.
pub async fn claim(tx: &mut Tx, tenant: TenantId, claims: &[First], now: Timestamp) -> Result<Vec<First>, DbError> {
    let mut claims = claims.to_vec();
    claims.sort_unstable();
    let mut won = Vec::new();
    for chunk in claims.chunks(SET_LIMIT) {
        let sql = "insert into first_user (tenant, organization, role, account, at_ms) values {($1, $2, $3, $4, $5)}
            on conflict do nothing returning organization, role, account";
        let mut query = tx.query_set(sql, chunk.len());
        for first in chunk {
            query = query.bind(tenant.to_string()).bind(first.organization.to_string()).bind(first.role.to_string());
            query = query.bind(first.account.to_string()).bind(now.millis());
        }
        for (organization, role, account) in query.all::<(String, String, String)>().await? {
            won.push(First {
                organization: column::id("first_user.organization", &organization)?,
                role: column::id("first_user.role", &role)?,
                account: column::id("first_user.account", &account)?,
            });
        }
    }
    Ok(won)
}

//! Who was the first in an organization. One row for each role that the first one gets: the database lets one of many in.

use std::collections::{BTreeMap, BTreeSet};

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
    let mut new: BTreeMap<OrganizationId, i64> = BTreeMap::new();
    for (_, organization) in joined {
        *new.entry(*organization).or_default() += 1;
    }
    // One more than joined anywhere is enough to know: nobody counts the members of a large organization.
    let enough = new.values().max().map_or(0, |most| most + 1);
    let organizations: Vec<OrganizationId> = new.keys().copied().collect();
    let mut settled = BTreeSet::new();
    for chunk in organizations.chunks(SET_LIMIT) {
        let sql =
            "select o.id, (select count(*) from (select 1 from membership m join account a on a.tenant = m.tenant and a.id = m.account
                where m.tenant = $1 and m.organization = o.id and not a.from_file limit $2) counted)
            from organization o where o.tenant = $1 and o.id in ({$3})";
        let query = tx.query_set(sql, chunk.len()).bind(tenant.to_string()).bind(enough);
        let rows: Vec<(String, i64)> = chunk.iter().fold(query, |query, id| query.bind(id.to_string())).all().await?;
        for (id, members) in rows {
            let id: OrganizationId = column::id("membership.organization", &id)?;
            if new.get(&id).is_some_and(|new| members > *new) {
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

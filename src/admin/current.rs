//! A tenant as it is, as far as files can change it: read inside the transaction that changes it.

use std::collections::BTreeMap;

use crate::{
    db::{
        self, DbError, Tx, account::AccountRow, certificate::IdpCertificateRow, connection::ConnectionRow, custom_schema::CustomSchema,
        organization::OrganizationRow, role::RoleRow, tenant::Tenant,
    },
    domain::{
        assignment::Origin,
        id::{AccountId, ConnectionId, OrganizationId, RoleId},
        model::RoleModel,
        name::Slug,
        time::Timestamp,
    },
    policy::mapping::Mapping,
};

#[derive(Debug, Clone)]
pub struct Current {
    pub tenant: Tenant,
    pub organizations: Vec<OrganizationRow>,
    pub roles: Vec<RoleRow>,
    pub connections: Vec<ConnectionRow>,
    /// The published ones.
    pub mappings: BTreeMap<ConnectionId, Mapping>,
    pub certificates: Vec<IdpCertificateRow>,
    /// Accounts that files made.
    pub file_accounts: Vec<AccountRow>,
    /// Those of them that are owners because a file says so.
    pub file_owners: Vec<AccountId>,
    /// Who holds a role that a file made; some of them, to be named.
    pub holders: BTreeMap<RoleId, Vec<String>>,
    /// How many accounts hold each role.
    pub held: BTreeMap<RoleId, i64>,
    pub model: RoleModel,
    /// Organizations that are not empty: somebody is at home, a member or holds something there, or something belongs to them.
    pub occupied: Vec<OrganizationId>,
    pub attribute_schema: Option<CustomSchema>,
}

/// `None` when there is no such tenant. The tree is locked: of two files that are applied at once, the second waits.
pub async fn load(tx: &mut Tx, slug: &Slug, now: Timestamp) -> Result<Option<Current>, DbError> {
    let Some(tenant) = db::tenant::find_tenant_by_slug(&mut *tx, slug.as_str()).await? else { return Ok(None) };
    let id = tenant.id;
    db::acting::lock_model(tx, id, db::acting::Writes::Model).await?;
    db::organization::lock_tree(tx, id).await?;
    // Another file may have been applied while this one waited.
    let Some(tenant) = db::tenant::find_tenant(&mut *tx, id).await? else { return Ok(None) };
    let organizations = db::organization::list_organizations(&mut *tx, id).await?;
    let roles = db::role::list_roles(&mut *tx, id).await?;
    let connections = db::connection::list_connections(&mut *tx, id).await?;
    let mappings = db::listing::list_published_mappings(&mut *tx, id).await?.into_iter().collect();
    let certificates = db::certificate::list_certificates_of_tenant(&mut *tx, id).await?;
    let file_accounts = db::account::list_file_accounts(tx, id).await?;
    let ids: Vec<_> = file_accounts.iter().map(|row| row.account.id).collect();
    let held = db::assignment::held(tx, id, &ids).await?;
    let bootstrapped = |account: &AccountId| {
        held.get(account).into_iter().flatten().flat_map(|held| &held.origins).any(|row| row.origin == Origin::Bootstrap)
    };
    let file_owners = ids.into_iter().filter(bootstrapped).collect();
    let file_roles: Vec<_> = roles.iter().filter(|row| row.from_file).map(|row| row.role.id).collect();
    let mut holders: BTreeMap<RoleId, Vec<String>> = BTreeMap::new();
    for (role, name) in db::listing::list_holders(&mut *tx, id, &file_roles).await? {
        holders.entry(role).or_default().push(name);
    }
    let held = db::assignment_list::count_holders(&mut *tx, id).await?.into_iter().collect();
    let model = db::model::load_model(&mut *tx, id).await?;
    let occupied = db::listing::list_occupied(&mut *tx, id, now).await?;
    let attribute_schema = db::custom_schema::find_custom_schema(&mut *tx, id).await?;
    Ok(Some(Current {
        tenant,
        organizations,
        roles,
        connections,
        mappings,
        certificates,
        file_accounts,
        file_owners,
        holders,
        held,
        model,
        occupied,
        attribute_schema,
    }))
}

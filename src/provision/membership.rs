//! Membership and home, as people set them. What comes with a first registration is `affiliation`; nobody registers here.

use serde_json::json;

use super::{ProvisionError, record::Record};
use crate::{
    db::{
        self, Tx,
        membership::{MemberRow, MembershipStatus},
    },
    domain::{
        actor::Occasion,
        id::{AccountId, OrganizationId},
        model::RoleModel,
    },
    policy::invariant,
};

/// What somebody is to be in the organization; what is `None` stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    pub status: Option<MembershipStatus>,
    /// Whether the organization is the account's home.
    pub home: Option<bool>,
}

/// Makes somebody a member, or changes what they are there; which is another version of the account.
pub async fn settle(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &mut Occasion,
    account: AccountId,
    organization: OrganizationId,
    standing: Standing,
) -> Result<MemberRow, ProvisionError> {
    let tenant = model.tenant;
    let mut accounts = db::account::lock_accounts(tx, tenant, &[account]).await?;
    let mut row = accounts.remove(&account).ok_or(ProvisionError::NotFound)?;
    let mut record = Record::default();
    let joined = db::account::join(tx, tenant, &[(account, organization)], occasion.now).await?;
    if !joined.is_empty() {
        record.note("membership.created", "account", &account, json!({ "organization": organization }));
    }
    let before = db::membership::find_member(&mut *tx, tenant, organization, account).await?.ok_or(ProvisionError::NotFound)?;
    if let Some(status) = standing.status.filter(|status| *status != before.status) {
        db::membership::set_status(tx, tenant, organization, account, status).await?;
        record.note("membership.changed", "account", &account, json!({ "organization": organization, "status": status }));
    }
    if let Some(home) = standing.home.filter(|home| *home != before.home) {
        let from = row.account.home_organization;
        row.account.home_organization = home.then_some(organization);
        stays_eligible(tx, model, account, from, &row).await?;
        db::account::update_account(tx, tenant, &row, occasion.now).await?;
        let detail = json!({ "from": from, "to": row.account.home_organization });
        record.note("account.home_changed", "account", &account, detail);
    }
    if !record.is_empty() {
        db::account::raise_account_version(tx, tenant, account, occasion.now).await?;
    }
    record.write(tx, tenant, occasion).await?;
    db::membership::find_member(&mut *tx, tenant, organization, account).await?.ok_or(ProvisionError::NotFound)
}

/// What the account could hold at home where it was, it must be able to hold where it goes.
async fn stays_eligible(
    tx: &mut Tx,
    model: &RoleModel,
    account: AccountId,
    from: Option<OrganizationId>,
    row: &db::account::AccountRow,
) -> Result<(), ProvisionError> {
    let held = db::assignment::held(tx, model.tenant, &[account]).await?.remove(&account).unwrap_or_default();
    for assignment in &held {
        let eligible = |home| invariant::eligible(model, &assignment.holding, home, row.account.kind);
        if eligible(from).is_ok() {
            eligible(row.account.home_organization)?;
        }
    }
    Ok(())
}

/// Ends a membership; whether there was one. Who is at home there stays a member until they have another home.
pub async fn leave(
    tx: &mut Tx,
    model: &RoleModel,
    occasion: &mut Occasion,
    account: AccountId,
    organization: OrganizationId,
) -> Result<bool, ProvisionError> {
    db::account::lock_accounts(tx, model.tenant, &[account]).await?.remove(&account).ok_or(ProvisionError::NotFound)?;
    if !db::membership::delete_member(tx, model.tenant, organization, account).await? {
        return Ok(false);
    }
    db::account::raise_account_version(tx, model.tenant, account, occasion.now).await?;
    let mut record = Record::default();
    record.note("membership.ended", "account", &account, json!({ "organization": organization }));
    record.write(tx, model.tenant, occasion).await?;
    Ok(true)
}

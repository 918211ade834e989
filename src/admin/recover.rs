//! Break-glass: the operator of the host lets an owner in again, loudly.

use serde_json::json;

use super::{
    apply::Mint,
    sign_in_link::{self, SignInLink},
};
use crate::{
    db::{self, Db, DbError, account::AccountRow, audit::Entry, tenant::Tenant},
    domain::{account::SignInStatus, actor::Occasion, name::fold},
};

#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("the tenant {0} has no owner: list one under [[owners]] in its file and apply it")]
    NoOwner(String),
    #[error("{wanted:?} is no owner of the tenant {tenant}; its owners are: {owners}")]
    NotAnOwner { wanted: String, tenant: String, owners: String },
    #[error("the tenant {tenant} has several owners; choose one with --email: {owners}")]
    Several { tenant: String, owners: String },
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Makes a one-time link for an owner: of this e-mail address or user name, or for the only one. Whoever was blocked is let in again,
/// without any identity provider.
pub async fn recover(
    db: &Db,
    tenant: &Tenant,
    occasion: &mut Occasion,
    wanted: Option<&str>,
    mint: Mint<'_>,
) -> Result<SignInLink, RecoverError> {
    let mut tx = db.begin().await?;
    let model = db::model::load_model(&mut tx, tenant.id).await?;
    let ids: Vec<_> =
        db::account::list_owners(&mut tx, tenant.id, model.organizations.root()).await?.iter().map(|owner| owner.account).collect();
    let owners: Vec<_> = db::account::lock_accounts(&mut tx, tenant.id, &ids).await?.into_values().collect();
    let mut row = choose(tenant, owners, wanted)?;
    let let_in = row.account.status != SignInStatus::Active || !row.has_local_credential;
    if let_in {
        row.decide(SignInStatus::Active);
        row.has_local_credential = true;
        db::account::update_account(&mut tx, tenant.id, &row, occasion.now).await?;
    }
    let id = row.account.id;
    let link = sign_in_link::make(&mut tx, tenant.id, occasion, &row, mint()).await?;
    let detail = json!({ "local_credential_given": let_in });
    db::attention::raise(&mut tx, tenant.id, occasion, "owner.recovered", None, Some(id), &detail).await?;
    let entry = Entry { action: "owner.recovered", target_kind: "account", target_id: id.to_string(), detail };
    db::audit::append(&mut tx, tenant.id, occasion, &[entry]).await?;
    tx.commit().await?;
    tracing::warn!(account.id = %id, tenant.id = %tenant.id, "an owner was given a sign-in link on the host");
    Ok(link)
}

fn choose(tenant: &Tenant, owners: Vec<AccountRow>, wanted: Option<&str>) -> Result<AccountRow, RecoverError> {
    let slug = tenant.slug.to_string();
    if owners.is_empty() {
        return Err(RecoverError::NoOwner(slug));
    }
    let names = owners.iter().map(|owner| owner.account.user_name.as_str()).collect::<Vec<_>>().join(", ");
    let is_meant = |owner: &AccountRow| match wanted.map(fold) {
        None => true,
        Some(key) => fold(&owner.account.user_name) == key || owner.account.email.as_deref().map(fold) == Some(key),
    };
    let mut meant: Vec<_> = owners.into_iter().filter(is_meant).collect();
    // A local account first, where an address is also known to an identity provider.
    meant.sort_by_key(|owner| !owner.has_local_credential);
    match (wanted, meant.len()) {
        (_, 1) | (Some(_), 2..) => Ok(meant.remove(0)),
        (Some(wanted), 0) => Err(RecoverError::NotAnOwner { wanted: wanted.to_owned(), tenant: slug, owners: names }),
        (None, _) => Err(RecoverError::Several { tenant: slug, owners: names }),
    }
}

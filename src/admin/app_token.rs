//! Tokens of applications behind the role store: made by an owner for one part of the tenant, expiring, reading only.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use crate::{
    db::{
        self, Db, DbError,
        acting::{self, Writes},
        app_token::AppTokenRow,
        audit::Entry,
    },
    domain::{
        actor::Occasion,
        assignment::Assignment,
        id::{AccountId, AppTokenId, TenantId},
        model::RoleModel,
        name::Title,
        secret::Secret,
        time::Timestamp,
    },
    keys,
    policy::{
        access::{Grant, Subtree, is_open_below},
        action::ManageAppTokens,
    },
};

/// How long a token lasts when nobody says, and at most.
pub const TTL_SECS: i64 = 90 * 86_400;
pub const MAX_TTL_SECS: i64 = 366 * 86_400;

#[derive(Debug, thiserror::Error)]
pub enum AppTokenError {
    #[error("there is no such token, or no such organization any more")]
    NotFound,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Makes a token for the organization of the grant and what is below it; its secret is shown this once.
pub async fn create(
    grant: &Grant<Subtree<ManageAppTokens>>,
    db: &Db,
    occasion: &mut Occasion,
    tenant: TenantId,
    name: &Title,
    ttl_secs: i64,
    random: [u8; 32],
) -> Result<(AppTokenRow, Secret<String>), AppTokenError> {
    let secret = keys::app_token(random);
    let row = AppTokenRow {
        id: occasion.ids.make(),
        tenant,
        organization: grant.at(),
        name: name.as_str().to_owned(),
        created_by: grant.actor().account_id(),
        owner: grant.actor().account_id(),
        created_at: occasion.now,
        expires_at: occasion.now.plus_secs(ttl_secs),
        revoked_at: None,
        last_used_at: None,
    };
    let mut tx = acting::begin(db, tenant, occasion, Writes::Accounts(&[])).await?;
    // It may have been deleted meanwhile.
    db::organization::lock_organization(&mut tx, tenant, grant.at()).await?.ok_or(AppTokenError::NotFound)?;
    db::app_token::insert_app_token(&mut tx, &row, &keys::hash(secret.expose())).await?;
    record(&mut tx, occasion, "app_token.created", &row).await?;
    tx.commit().await?;
    Ok((row, secret))
}

/// Whether the owner who answers for a token could make it still. The operator of the host always could.
pub async fn is_backed(db: &Db, model: &RoleModel, token: &AppTokenRow) -> Result<bool, DbError> {
    let Some(owner) = token.owner else { return Ok(true) };
    let held = db::app_token::list_held_by_owner(db, model.tenant, owner).await?;
    Ok(is_open_below::<ManageAppTokens>(&held, model, token.organization))
}

/// Whether a token counts, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AppTokenState {
    Live,
    /// See [`is_backed`]: it is valid again when its owner could make it again, or when another owner takes it over.
    Unbacked,
    Expired,
    Revoked,
}

/// Of the grant's organization.
pub async fn list(
    grant: &Grant<ManageAppTokens>,
    db: &Db,
    model: &RoleModel,
    now: Timestamp,
) -> Result<Vec<(AppTokenRow, AppTokenState)>, DbError> {
    let rows = list_all(db, model, now).await?;
    Ok(rows.into_iter().filter(|(row, _)| row.organization == grant.at()).collect())
}

/// Of the whole tenant, for the operator of the host.
pub async fn list_all(db: &Db, model: &RoleModel, now: Timestamp) -> Result<Vec<(AppTokenRow, AppTokenState)>, DbError> {
    let rows = db::app_token::list_app_tokens(db, model.tenant).await?;
    let mut held: BTreeMap<AccountId, Vec<Assignment>> = BTreeMap::new();
    for assignment in db::app_token::list_held_by_owners(db, model.tenant).await? {
        held.entry(assignment.account).or_default().push(assignment);
    }
    let backed = |row: &AppTokenRow| {
        let Some(owner) = row.owner else { return true };
        held.get(&owner).is_some_and(|held| is_open_below::<ManageAppTokens>(held, model, row.organization))
    };
    let state = |row: &AppTokenRow| match row.revoked_at {
        Some(_) => AppTokenState::Revoked,
        None if row.expires_at <= now => AppTokenState::Expired,
        None if backed(row) => AppTokenState::Live,
        None => AppTokenState::Unbacked,
    };
    let with_state = |row: AppTokenRow| {
        let state = state(&row);
        (row, state)
    };
    Ok(rows.into_iter().map(with_state).collect())
}

pub async fn find(db: &Db, tenant: TenantId, id: AppTokenId) -> Result<Option<AppTokenRow>, DbError> {
    db::app_token::find_app_token(db, tenant, id).await
}

/// Makes the actor the owner who answers for a token, as if they had made it. Its secret and its end stay.
pub async fn take_over(
    grant: &Grant<Subtree<ManageAppTokens>>,
    db: &Db,
    occasion: &mut Occasion,
    tenant: TenantId,
    id: AppTokenId,
) -> Result<AppTokenRow, AppTokenError> {
    let mut tx = acting::begin(db, tenant, occasion, Writes::Accounts(&[])).await?;
    let row = db::app_token::find_app_token(&mut tx, tenant, id).await?;
    let live = |row: &AppTokenRow| row.organization == grant.at() && row.revoked_at.is_none() && row.expires_at > occasion.now;
    let row = row.filter(live).ok_or(AppTokenError::NotFound)?;
    let owner = grant.actor().account_id();
    if row.owner == owner {
        return Ok(row);
    }
    db::app_token::set_owner(&mut tx, tenant, id, owner).await?;
    record(&mut tx, occasion, "app_token.taken_over", &row).await?;
    tx.commit().await?;
    Ok(AppTokenRow { owner, ..row })
}

/// Ends it at once; one that was revoked before stays so.
pub async fn revoke(
    grant: &Grant<ManageAppTokens>,
    db: &Db,
    occasion: &mut Occasion,
    tenant: TenantId,
    id: AppTokenId,
) -> Result<(), AppTokenError> {
    let mut tx = acting::begin(db, tenant, occasion, Writes::Accounts(&[])).await?;
    let row = db::app_token::find_app_token(&mut tx, tenant, id).await?;
    let row = row.filter(|row| row.organization == grant.at()).ok_or(AppTokenError::NotFound)?;
    if db::app_token::revoke_app_token(&mut tx, tenant, id, occasion.now).await? {
        record(&mut tx, occasion, "app_token.revoked", &row).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn record(tx: &mut db::Tx, occasion: &mut Occasion, action: &'static str, row: &AppTokenRow) -> Result<(), DbError> {
    let detail =
        json!({ "name": row.name, "organization": row.organization, "expires_at": row.expires_at.to_string(), "owner": row.owner });
    let entry = Entry { action, target_kind: "app_token", target_id: row.id.to_string(), detail };
    db::audit::append(tx, row.tenant, occasion, &[entry]).await
}

//! API tokens: made by a person from a session, for what that person may do or less, and gone with the session.

use std::collections::BTreeSet;

use serde_json::json;

use super::holder::{HolderError, authorize_over};
use crate::{
    db::{
        self, Db, DbError, Tx,
        acting::{self, Writes},
        api_token::ApiTokenRow,
        audit::Entry,
    },
    domain::{
        actor::{AccountActor, Occasion},
        capability::Capability,
        id::{AccountId, ApiTokenId, TenantId},
        model::RoleModel,
        name::Title,
        secret::Secret,
        time::Timestamp,
    },
    keys,
    policy::{
        access::{Grant, capabilities_anywhere},
        action::{self, ReadTokens, RevokeTokens},
    },
};

/// How long a token lasts when nobody says, and at most; never longer than its session.
pub const TTL_SECS: i64 = 3600;
pub const MAX_TTL_SECS: i64 = 12 * 3600;

#[derive(Debug, thiserror::Error)]
pub enum ApiTokenError {
    #[error("there is no such token")]
    NotFound,
    #[error("{} is not yours to give to a token: your roles do not open it anywhere", action::name(*.0))]
    NotHeld(Capability),
    #[error(transparent)]
    Holder(#[from] HolderError),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub name: Title,
    pub ttl_secs: i64,
    /// `None`: all that the account may do.
    pub only: Option<BTreeSet<Capability>>,
    /// Of the session.
    pub session_ends_at: Timestamp,
    /// What the organizations of its holder allow at most.
    pub longest_secs: Option<i64>,
}

/// Makes a token; its secret is shown this once.
pub async fn create(
    db: &Db,
    occasion: &mut Occasion,
    account: &AccountActor,
    model: &RoleModel,
    asked: Asked,
    random: [u8; 32],
) -> Result<(ApiTokenRow, Secret<String>), ApiTokenError> {
    if let Some(only) = &asked.only {
        let held = capabilities_anywhere(account, model);
        if let Some(missing) = only.difference(&held).next() {
            return Err(ApiTokenError::NotHeld(*missing));
        }
    }
    let secret = keys::api_token(random);
    let row = ApiTokenRow {
        id: occasion.ids.make(),
        session: account.session,
        account: account.account,
        name: asked.name.as_str().to_owned(),
        only: asked.only,
        created_at: occasion.now,
        expires_at: occasion
            .now
            .plus_secs(asked.longest_secs.map_or(asked.ttl_secs, |most| most.min(asked.ttl_secs)))
            .min(asked.session_ends_at),
        revoked_at: None,
        last_used_at: None,
    };
    let mut tx = acting::begin(db, model.tenant, occasion, Writes::Accounts(&[])).await?;
    db::api_token::insert_api_token(&mut tx, model.tenant, &row, &keys::hash(secret.expose())).await?;
    let detail = json!({ "account": row.account, "expires_at": row.expires_at.to_string(), "only": row.only });
    record(&mut tx, model.tenant, occasion, "api_token.created", row.id, detail).await?;
    tx.commit().await?;
    Ok((row, secret))
}

/// One's own.
pub async fn list_own(db: &Db, tenant: TenantId, account: &AccountActor) -> Result<Vec<ApiTokenRow>, DbError> {
    db::api_token::list_api_tokens(db, tenant, account.account).await
}

/// Somebody else's; the right was asked for over that account.
pub async fn list_of(_grant: &Grant<ReadTokens>, db: &Db, tenant: TenantId, account: AccountId) -> Result<Vec<ApiTokenRow>, DbError> {
    db::api_token::list_api_tokens(db, tenant, account).await
}

pub async fn revoke_own(
    db: &Db,
    occasion: &mut Occasion,
    tenant: TenantId,
    account: &AccountActor,
    id: ApiTokenId,
) -> Result<(), ApiTokenError> {
    let tx = acting::begin(db, tenant, occasion, Writes::Accounts(&[account.account])).await?;
    revoke(tx, occasion, tenant, account.account, id).await
}

/// Somebody else's.
pub async fn revoke_of(
    db: &Db,
    occasion: &mut Occasion,
    model: &RoleModel,
    account: AccountId,
    id: ApiTokenId,
) -> Result<(), ApiTokenError> {
    let mut tx = acting::begin(db, model.tenant, occasion, Writes::Accounts(&[account])).await?;
    authorize_over::<RevokeTokens>(&mut tx, &occasion.actor, model, account).await?;
    revoke(tx, occasion, model.tenant, account, id).await
}

/// Whose it is; `None` when there is no such token.
pub async fn find_holder(db: &Db, tenant: TenantId, id: ApiTokenId) -> Result<Option<AccountId>, DbError> {
    Ok(db::api_token::find_api_token(db, tenant, id).await?.map(|row| row.account))
}

async fn revoke(mut tx: Tx, occasion: &mut Occasion, tenant: TenantId, account: AccountId, id: ApiTokenId) -> Result<(), ApiTokenError> {
    let row = db::api_token::find_api_token(&mut tx, tenant, id).await?;
    if row.is_none_or(|row| row.account != account) {
        return Err(ApiTokenError::NotFound);
    }
    if db::api_token::revoke_api_token(&mut tx, tenant, id, occasion.now).await? {
        record(&mut tx, tenant, occasion, "api_token.revoked", id, json!({ "account": account })).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn record(
    tx: &mut Tx,
    tenant: TenantId,
    occasion: &mut Occasion,
    action: &'static str,
    id: ApiTokenId,
    detail: serde_json::Value,
) -> Result<(), DbError> {
    let entry = Entry { action, target_kind: "api_token", target_id: id.to_string(), detail };
    db::audit::append(tx, tenant, occasion, &[entry]).await
}

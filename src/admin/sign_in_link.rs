//! One-time links by which owners sign in without an identity provider.

use serde_json::json;

use crate::{
    db::{self, DbError, Tx, account::AccountRow, audit::Entry},
    domain::{actor::Occasion, id::TenantId, secret::Secret, time::Timestamp},
    keys,
};

/// How long a link waits for its one use.
pub const TTL_SECS: i64 = 24 * 3600;

/// A link that was made now; nothing else knows its secret.
#[derive(Debug)]
pub struct SignInLink {
    pub email: String,
    pub secret: Secret<String>,
    pub expires_at: Timestamp,
}

impl SignInLink {
    /// Below the public address of the gateway.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/sign-in/link?token={}", self.secret.expose())
    }
}

/// Makes a link for an account, with its audit row.
pub async fn make(
    tx: &mut Tx,
    tenant: TenantId,
    occasion: &mut Occasion,
    row: &AccountRow,
    secret: Secret<String>,
) -> Result<SignInLink, DbError> {
    let expires_at = occasion.now.plus_secs(TTL_SECS);
    let id = occasion.ids.make();
    let hash = keys::hash(secret.expose());
    db::session::insert_link(tx, tenant, id, &hash, row.account.id, occasion.now, expires_at).await?;
    let entry = Entry {
        action: "sign_in_link.created",
        target_kind: "account",
        target_id: row.account.id.to_string(),
        detail: json!({ "expires_at": expires_at.to_string() }),
    };
    db::audit::append(tx, tenant, occasion, &[entry]).await?;
    let email = row.account.email.clone().unwrap_or_else(|| row.account.user_name.clone());
    Ok(SignInLink { email, secret, expires_at })
}

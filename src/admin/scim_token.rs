//! Bearers of SCIM connections: made and revoked. An owner's alone, and so far only on the host.

use serde_json::{Value, json};

use crate::{
    db::{
        self, Db, DbError, Tx,
        acting::{self, Writes},
        audit::Entry,
    },
    domain::{actor::Occasion, connection::Connection, id::TokenId, secret::Secret, time::Timestamp},
    keys,
    policy::{access::Grant, action::ManageScimTokens},
};

#[derive(Debug, thiserror::Error)]
pub enum ScimTokenError {
    /// Also where the right was given for another organization than the connection's.
    #[error("the connection has no such token that counts: `rolegate token list` shows them")]
    NotFound,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A token that was made now; nothing else knows its secret.
#[derive(Debug)]
pub struct Minted {
    pub id: TokenId,
    pub token: Secret<String>,
    pub expires_at: Timestamp,
}

/// Makes a token of the connection; its secret is shown this once.
pub async fn create(
    grant: &Grant<ManageScimTokens>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    ttl_secs: i64,
    random: [u8; 32],
) -> Result<Minted, ScimTokenError> {
    check(grant, connection)?;
    let (id, token): (TokenId, _) = (occasion.ids.make(), keys::scim_token(random));
    let expires_at = occasion.now.plus_secs(ttl_secs);
    let hash = keys::hash(token.expose());
    let mut tx = acting::begin(db, connection.tenant, occasion, Writes::Accounts(&[])).await?;
    db::token::insert_token(&mut tx, connection.tenant, connection.id, id, &hash, occasion.now, expires_at).await?;
    let detail = json!({ "connection": connection.slug, "expires_at": expires_at.to_string() });
    tell(tx, occasion, connection, "scim_token.created", id, detail).await?;
    Ok(Minted { id, token, expires_at })
}

/// Ends it at once.
pub async fn revoke(
    grant: &Grant<ManageScimTokens>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    id: TokenId,
) -> Result<(), ScimTokenError> {
    check(grant, connection)?;
    let mut tx = acting::begin(db, connection.tenant, occasion, Writes::Accounts(&[])).await?;
    if !db::token::revoke_token(&mut tx, connection.tenant, connection.id, id, occasion.now).await? {
        return Err(ScimTokenError::NotFound);
    }
    Ok(tell(tx, occasion, connection, "scim_token.revoked", id, json!({ "connection": connection.slug })).await?)
}

fn check(grant: &Grant<ManageScimTokens>, connection: &Connection) -> Result<(), ScimTokenError> {
    if grant.at() == connection.organization { Ok(()) } else { Err(ScimTokenError::NotFound) }
}

/// The last of a change: it is told and committed.
async fn tell(
    mut tx: Tx,
    occasion: &mut Occasion,
    connection: &Connection,
    action: &'static str,
    id: TokenId,
    detail: Value,
) -> Result<(), DbError> {
    let entry = Entry { action, target_kind: "scim_token", target_id: id.to_string(), detail };
    db::audit::tell(&mut tx, connection.tenant, occasion, &[entry]).await?;
    tx.commit().await
}

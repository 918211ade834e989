//! OAuth 2.0 clients of a connection: made, given a second secret, and revoked. An owner's alone, as with tokens.
//!
//! A secret is changed without a pause: add the second one, put it into the identity provider, revoke the first.

use serde_json::json;

use crate::{
    db::{
        self, Db, DbError, Tx,
        acting::{self, Writes},
        audit::Entry,
        oauth::{ClientRow, NewSecret, SecretRow},
    },
    domain::{
        actor::Occasion,
        connection::Connection,
        id::{OauthClientId, OauthSecretId},
        secret::Secret,
        time::Timestamp,
    },
    keys,
    policy::{access::Grant, action::ManageScimTokens},
};

/// How long a secret counts.
pub const SECRET_TTL_SECS: i64 = 365 * 86_400;

#[derive(Debug, thiserror::Error)]
pub enum OauthClientError {
    /// Also where the right was given for another organization than the connection's.
    #[error("the connection has no such client or secret")]
    NotFound,
    #[error("the client is revoked, or has two live secrets already: revoke one of them first")]
    NoRoom,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What is shown once.
#[derive(Debug)]
pub struct Made {
    pub client: OauthClientId,
    pub id: OauthSecretId,
    pub secret: Secret<String>,
    pub expires_at: Timestamp,
}

/// Clients with their secrets, revoked ones too, in the order of their making.
pub async fn list(
    grant: &Grant<ManageScimTokens>,
    db: &Db,
    connection: &Connection,
) -> Result<Vec<(ClientRow, Vec<SecretRow>)>, OauthClientError> {
    check(grant, connection)?;
    let clients = db::oauth::list_clients(db, connection.tenant, connection.id).await?;
    let secrets = db::oauth::list_secrets(db, connection.tenant, connection.id).await?;
    let with_secrets = |client: ClientRow| {
        let own = secrets.iter().filter(|secret| secret.client == client.id).cloned().collect();
        (client, own)
    };
    Ok(clients.into_iter().map(with_secrets).collect())
}

/// A client with its first secret.
pub async fn create(
    grant: &Grant<ManageScimTokens>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    name: &str,
    random: [u8; 32],
) -> Result<Made, OauthClientError> {
    check(grant, connection)?;
    let id: OauthClientId = occasion.ids.make();
    let mut tx = acting::begin(db, connection.tenant, occasion, Writes::Accounts(&[])).await?;
    db::oauth::insert_client(&mut tx, connection.tenant, connection.id, id, name, occasion.now).await?;
    record(&mut tx, occasion, connection, "oauth_client.created", id, None).await?;
    let made = give_secret(&mut tx, occasion, connection, id, random).await?;
    tx.commit().await?;
    Ok(made)
}

/// A second secret beside the first.
pub async fn add_secret(
    grant: &Grant<ManageScimTokens>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    client: OauthClientId,
    random: [u8; 32],
) -> Result<Made, OauthClientError> {
    check(grant, connection)?;
    let mut tx = acting::begin(db, connection.tenant, occasion, Writes::Accounts(&[])).await?;
    let known = db::oauth::list_clients(&mut tx, connection.tenant, connection.id).await?;
    if !known.iter().any(|row| row.id == client) {
        return Err(OauthClientError::NotFound);
    }
    let made = give_secret(&mut tx, occasion, connection, client, random).await?;
    tx.commit().await?;
    Ok(made)
}

/// From now on neither the secret nor the access tokens it gave count.
pub async fn revoke_secret(
    grant: &Grant<ManageScimTokens>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    client: OauthClientId,
    secret: OauthSecretId,
) -> Result<(), OauthClientError> {
    check(grant, connection)?;
    let mut tx = acting::begin(db, connection.tenant, occasion, Writes::Accounts(&[])).await?;
    let known = db::oauth::list_secrets(&mut tx, connection.tenant, connection.id).await?;
    if !known.iter().any(|row| row.id == secret && row.client == client) {
        return Err(OauthClientError::NotFound);
    }
    if db::oauth::revoke_secret(&mut tx, connection.tenant, connection.id, secret, occasion.now).await? {
        record(&mut tx, occasion, connection, "oauth_secret.revoked", client, Some(secret)).await?;
    }
    Ok(tx.commit().await?)
}

/// From now on none of its secrets and access tokens counts.
pub async fn revoke(
    grant: &Grant<ManageScimTokens>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    client: OauthClientId,
) -> Result<(), OauthClientError> {
    check(grant, connection)?;
    let mut tx = acting::begin(db, connection.tenant, occasion, Writes::Accounts(&[])).await?;
    let known = db::oauth::list_clients(&mut tx, connection.tenant, connection.id).await?;
    if !known.iter().any(|row| row.id == client) {
        return Err(OauthClientError::NotFound);
    }
    if db::oauth::revoke_client(&mut tx, connection.tenant, connection.id, client, occasion.now).await? {
        record(&mut tx, occasion, connection, "oauth_client.revoked", client, None).await?;
    }
    Ok(tx.commit().await?)
}

fn check(grant: &Grant<ManageScimTokens>, connection: &Connection) -> Result<(), OauthClientError> {
    if grant.at() == connection.organization { Ok(()) } else { Err(OauthClientError::NotFound) }
}

async fn give_secret(
    tx: &mut Tx,
    occasion: &mut Occasion,
    connection: &Connection,
    client: OauthClientId,
    random: [u8; 32],
) -> Result<Made, OauthClientError> {
    let (id, secret) = (occasion.ids.make::<crate::domain::id::kind::OauthSecret>(), keys::client_secret(random));
    let expires_at = occasion.now.plus_secs(SECRET_TTL_SECS);
    let hash = keys::hash(secret.expose());
    let new = NewSecret { id, hash: &hash, expires_at };
    if !db::oauth::insert_secret(tx, connection.tenant, connection.id, client, new, occasion.now).await? {
        return Err(OauthClientError::NoRoom);
    }
    record(tx, occasion, connection, "oauth_secret.created", client, Some(id)).await?;
    Ok(Made { client, id, secret, expires_at })
}

async fn record(
    tx: &mut Tx,
    occasion: &mut Occasion,
    connection: &Connection,
    action: &'static str,
    client: OauthClientId,
    secret: Option<OauthSecretId>,
) -> Result<(), DbError> {
    let detail = json!({ "connection": { "id": connection.id, "slug": connection.slug }, "secret": secret });
    let entry = Entry { action, target_kind: "oauth_client", target_id: client.to_string(), detail };
    db::audit::tell(tx, connection.tenant, occasion, &[entry]).await
}

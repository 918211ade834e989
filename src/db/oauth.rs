//! OAuth 2.0 clients of SCIM connections, their secrets and the access tokens they were given; only hashes are here.

use super::{
    column,
    engine::{Db, DbError, Target, Tx},
    token::{Bearer, find_connection_bearer},
};
use crate::domain::{
    id::{ConnectionId, OauthClientId, OauthSecretId, TenantId, TokenId},
    time::Timestamp,
};

/// Secrets of one client that live at a time.
pub const LIVE_SECRETS: i64 = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRow {
    pub id: OauthClientId,
    pub connection: ConnectionId,
    pub name: String,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRow {
    pub id: OauthSecretId,
    pub client: OauthClientId,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

/// A client whose secret was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authenticated {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    pub client: OauthClientId,
    pub secret: OauthSecretId,
}

pub async fn insert_client(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    id: OauthClientId,
    name: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    let sql = "insert into oauth_client (tenant, connection, id, name, created_at_ms) values ($1, $2, $3, $4, $5)";
    let query = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string()).bind(name.to_owned());
    query.bind(now.millis()).run().await?;
    Ok(())
}

/// All of a connection, in the order of their making.
pub async fn list_clients(source: impl Into<Target<'_>>, tenant: TenantId, connection: ConnectionId) -> Result<Vec<ClientRow>, DbError> {
    let sql = "select id, name, created_at_ms, revoked_at_ms from oauth_client where tenant = $1 and connection = $2 order by id";
    let rows: Vec<(String, String, i64, Option<i64>)> =
        source.into().query(sql).bind(tenant.to_string()).bind(connection.to_string()).all().await?;
    let read = |(id, name, created_at_ms, revoked_at_ms): (String, String, i64, Option<i64>)| {
        Ok(ClientRow {
            id: column::id("an OAuth client's id", &id)?,
            connection,
            name,
            created_at: Timestamp::from_millis(created_at_ms),
            revoked_at: column::time(revoked_at_ms),
        })
    };
    rows.into_iter().map(read).collect()
}

/// With its secrets and access tokens. False when it is not there, or revoked already.
pub async fn revoke_client(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    id: OauthClientId,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "update oauth_client set revoked_at_ms = $4 where tenant = $1 and connection = $2 and id = $3 and revoked_at_ms is null";
    let revoked = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string()).bind(now.millis()).run().await?;
    let sql = "delete from oauth_access_token where tenant = $1 and connection = $2 and client = $3";
    tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string()).run().await?;
    Ok(revoked == 1)
}

/// A new secret of a client.
#[derive(Debug, Clone, Copy)]
pub struct NewSecret<'a> {
    pub id: OauthSecretId,
    pub hash: &'a str,
    pub expires_at: Timestamp,
}

/// False when the client is not there, is revoked, or has two live secrets already: revoke one first.
pub async fn insert_secret(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    client: OauthClientId,
    secret: NewSecret<'_>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "select id from oauth_client where tenant = $1 and connection = $2 and id = $3 and revoked_at_ms is null";
    let query = tx.lock(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(client.to_string());
    if query.optional::<(String,)>().await?.is_none() {
        return Ok(false);
    }
    let sql = "select count(*) from oauth_secret
        where tenant = $1 and connection = $2 and client = $3 and revoked_at_ms is null and expires_at_ms > $4";
    let query = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(client.to_string()).bind(now.millis());
    if query.optional::<(i64,)>().await?.is_some_and(|(live,)| live >= LIVE_SECRETS) {
        return Ok(false);
    }
    let sql =
        "insert into oauth_secret (tenant, connection, client, id, hash, created_at_ms, expires_at_ms) values ($1, $2, $3, $4, $5, $6, $7)";
    tx.query(sql)
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(client.to_string())
        .bind(secret.id.to_string())
        .bind(secret.hash.to_owned())
        .bind(now.millis())
        .bind(secret.expires_at.millis())
        .run()
        .await?;
    Ok(true)
}

#[derive(sqlx::FromRow)]
struct SecretColumns {
    id: String,
    client: String,
    created_at_ms: i64,
    expires_at_ms: i64,
    revoked_at_ms: Option<i64>,
    last_used_at_ms: Option<i64>,
}

/// Of all clients of a connection, in the order of their making.
pub async fn list_secrets(source: impl Into<Target<'_>>, tenant: TenantId, connection: ConnectionId) -> Result<Vec<SecretRow>, DbError> {
    let sql = "select id, client, created_at_ms, expires_at_ms, revoked_at_ms, last_used_at_ms
        from oauth_secret where tenant = $1 and connection = $2 order by id";
    let rows: Vec<SecretColumns> = source.into().query(sql).bind(tenant.to_string()).bind(connection.to_string()).all().await?;
    let read = |row: SecretColumns| {
        Ok(SecretRow {
            id: column::id("an OAuth secret's id", &row.id)?,
            client: column::id("an OAuth secret's client", &row.client)?,
            created_at: Timestamp::from_millis(row.created_at_ms),
            expires_at: Timestamp::from_millis(row.expires_at_ms),
            revoked_at: column::time(row.revoked_at_ms),
            last_used_at: column::time(row.last_used_at_ms),
        })
    };
    rows.into_iter().map(read).collect()
}

/// With the access tokens that it gave. False when it is not there, or revoked already.
pub async fn revoke_secret(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    id: OauthSecretId,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "update oauth_secret set revoked_at_ms = $4 where tenant = $1 and connection = $2 and id = $3 and revoked_at_ms is null";
    let revoked = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string()).bind(now.millis()).run().await?;
    let sql = "delete from oauth_access_token where tenant = $1 and connection = $2 and secret = $3";
    tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string()).run().await?;
    Ok(revoked == 1)
}

/// The client of the connection with this slug, when the secret with this hash is one of its live ones. `client` is what was sent.
pub async fn authenticate_client(
    source: impl Into<Target<'_>>,
    slug: &str,
    client: &str,
    hash: &str,
    now: Timestamp,
) -> Result<Option<Authenticated>, DbError> {
    let sql = "select secret.tenant, secret.connection, secret.client, secret.id
        from oauth_secret secret
        join oauth_client client on client.tenant = secret.tenant and client.connection = secret.connection and client.id = secret.client
        join connection on connection.tenant = secret.tenant and connection.id = secret.connection
        where secret.hash = $1 and secret.client = $2 and connection.slug = $3 and connection.enabled
            and client.revoked_at_ms is null and secret.revoked_at_ms is null and secret.expires_at_ms > $4";
    let mut source = source.into();
    let query = source.query(sql).bind(hash.to_owned()).bind(client.to_owned()).bind(slug.to_owned()).bind(now.millis());
    let row: Option<(String, String, String, String)> = query.optional().await?;
    let read = |(tenant, connection, client, secret): (String, String, String, String)| {
        Ok(Authenticated {
            tenant: column::id("an OAuth secret's tenant", &tenant)?,
            connection: column::id("an OAuth secret's connection", &connection)?,
            client: column::id("an OAuth secret's client", &client)?,
            secret: column::id("an OAuth secret's id", &secret)?,
        })
    };
    row.map(read).transpose()
}

/// Writes the token that a client was given, and that its secret was used.
pub async fn insert_access_token(
    tx: &mut Tx,
    by: Authenticated,
    id: TokenId,
    hash: &str,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    let sql = "insert into oauth_access_token (tenant, connection, client, secret, id, hash, created_at_ms, expires_at_ms)
        values ($1, $2, $3, $4, $5, $6, $7, $8)";
    tx.query(sql)
        .bind(by.tenant.to_string())
        .bind(by.connection.to_string())
        .bind(by.client.to_string())
        .bind(by.secret.to_string())
        .bind(id.to_string())
        .bind(hash.to_owned())
        .bind(now.millis())
        .bind(expires_at.millis())
        .run()
        .await?;
    let sql = "update oauth_secret set last_used_at_ms = $5 where tenant = $1 and connection = $2 and client = $3 and id = $4";
    let query = tx.query(sql).bind(by.tenant.to_string()).bind(by.connection.to_string()).bind(by.client.to_string());
    query.bind(by.secret.to_string()).bind(now.millis()).run().await?;
    Ok(())
}

/// By the hash of what the client sent. What was revoked is gone, so that the times of the [`Bearer`] say the rest.
pub async fn find_access_bearer(source: impl Into<Target<'_>>, hash: &str) -> Result<Option<Bearer>, DbError> {
    let sql = "select token.tenant, token.connection, connection.slug, connection.enabled, connection.scim, token.id, token.expires_at_ms,
            secret.revoked_at_ms, token.created_at_ms as last_used_at_ms, coalesce(custom.version, 0) as schema_version
        from oauth_access_token token
        join oauth_secret secret on secret.tenant = token.tenant and secret.connection = token.connection and secret.client = token.client
            and secret.id = token.secret
        join connection on connection.tenant = token.tenant and connection.id = token.connection
        left join custom_schema custom on custom.tenant = token.tenant
        where token.hash = $1";
    find_connection_bearer(source, sql, hash).await
}

/// Removes expired access tokens, at most a thousand; how many it were.
pub async fn purge_access_tokens(db: &Db, now: Timestamp) -> Result<u64, DbError> {
    let sql = "delete from oauth_access_token where (tenant, connection, id) in
        (select tenant, connection, id from oauth_access_token where expires_at_ms <= $1 order by expires_at_ms limit 1000)";
    db.query(sql).bind(now.millis()).run().await
}

//! Bearer tokens of SCIM clients; only their hashes are here.

use serde::Serialize;

use super::{
    column,
    engine::{DbError, Target, Tx},
};
use crate::domain::{
    connection::ScimSettings,
    id::{ConnectionId, TenantId, TokenId},
    name::Slug,
    time::Timestamp,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimTokenRow {
    pub id: TokenId,
    pub connection: ConnectionId,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

/// Whether a token counts, as far as it depends on the token alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    Live,
    Expired,
    Revoked,
}

impl TokenState {
    fn of(expires_at: Timestamp, revoked_at: Option<Timestamp>, now: Timestamp) -> Self {
        match revoked_at {
            Some(_) => Self::Revoked,
            None if now < expires_at => Self::Live,
            None => Self::Expired,
        }
    }
}

impl ScimTokenRow {
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> TokenState {
        TokenState::of(self.expires_at, self.revoked_at, now)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    connection: String,
    created_at_ms: i64,
    expires_at_ms: i64,
    revoked_at_ms: Option<i64>,
    last_used_at_ms: Option<i64>,
}

impl Row {
    fn read(self) -> Result<ScimTokenRow, DbError> {
        Ok(ScimTokenRow {
            id: column::id("a token's id", &self.id)?,
            connection: column::id("a token's connection", &self.connection)?,
            created_at: Timestamp::from_millis(self.created_at_ms),
            expires_at: Timestamp::from_millis(self.expires_at_ms),
            revoked_at: column::time(self.revoked_at_ms),
            last_used_at: column::time(self.last_used_at_ms),
        })
    }
}

pub async fn insert_token(
    tx: &mut Tx,
    tenant: TenantId,
    connection: ConnectionId,
    id: TokenId,
    hash: &str,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    let sql = "insert into scim_token (tenant, connection, id, hash, created_at_ms, expires_at_ms) values ($1, $2, $3, $4, $5, $6)";
    tx.query(sql)
        .bind(tenant.to_string())
        .bind(connection.to_string())
        .bind(id.to_string())
        .bind(hash.to_owned())
        .bind(now.millis())
        .bind(expires_at.millis())
        .run()
        .await?;
    Ok(())
}

/// All of a connection, in the order of their making.
pub async fn list_tokens(source: impl Into<Target<'_>>, tenant: TenantId, connection: ConnectionId) -> Result<Vec<ScimTokenRow>, DbError> {
    let sql = "select id, connection, created_at_ms, expires_at_ms, revoked_at_ms, last_used_at_ms
        from scim_token where tenant = $1 and connection = $2 order by id";
    source.into().query(sql).bind(tenant.to_string()).bind(connection.to_string()).all().await?.into_iter().map(Row::read).collect()
}

/// False when it is not there, or revoked already.
pub async fn revoke_token(tx: &mut Tx, tenant: TenantId, connection: ConnectionId, id: TokenId, now: Timestamp) -> Result<bool, DbError> {
    // Requests in flight share the row: they commit before it is revoked, or find that it was.
    let sql = "select id from scim_token where tenant = $1 and connection = $2 and id = $3";
    let query = tx.lock(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string());
    query.optional::<(String,)>().await?;
    let sql = "update scim_token set revoked_at_ms = $4 where tenant = $1 and connection = $2 and id = $3 and revoked_at_ms is null";
    let query = tx.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string()).bind(now.millis());
    Ok(query.run().await? == 1)
}

/// What a bearer turns out to be. Whether it still counts, the caller sees from its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    pub slug: Slug,
    /// Of the connection as a whole.
    pub enabled: bool,
    pub scim: ScimSettings,
    /// Of the tenant's own extension of User; 0: it has none.
    pub schema_version: i64,
    pub token: TokenId,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

impl Bearer {
    /// Why it lets nobody in at the address of the connection `slug`, for the log; `None` when it does.
    #[must_use]
    pub fn refused_at(&self, slug: &str, now: Timestamp) -> Option<&'static str> {
        if self.slug.as_str() != slug {
            return Some("the token is another connection's");
        }
        match TokenState::of(self.expires_at, self.revoked_at, now) {
            TokenState::Revoked => Some("the token was revoked"),
            TokenState::Expired => Some("the token has expired"),
            TokenState::Live if !self.enabled => Some("the connection is disabled"),
            TokenState::Live if !self.scim.enabled => Some("SCIM is not enabled for the connection"),
            TokenState::Live => None,
        }
    }
}

#[derive(sqlx::FromRow)]
struct BearerRow {
    tenant: String,
    connection: String,
    slug: String,
    enabled: bool,
    scim: String,
    schema_version: i64,
    id: String,
    expires_at_ms: i64,
    revoked_at_ms: Option<i64>,
    last_used_at_ms: Option<i64>,
}

impl BearerRow {
    fn read(self) -> Result<Bearer, DbError> {
        Ok(Bearer {
            tenant: column::id("a token's tenant", &self.tenant)?,
            connection: column::id("a token's connection", &self.connection)?,
            slug: Slug::parse(&self.slug).map_err(|error| DbError::corrupt("a connection's slug", &error))?,
            enabled: self.enabled,
            scim: column::document("a connection's SCIM settings", &self.scim)?,
            schema_version: self.schema_version,
            token: column::id("a token's id", &self.id)?,
            expires_at: Timestamp::from_millis(self.expires_at_ms),
            revoked_at: column::time(self.revoked_at_ms),
            last_used_at: column::time(self.last_used_at_ms),
        })
    }
}

/// By the hash of what the client sent, which says neither tenant nor connection.
pub async fn find_bearer(source: impl Into<Target<'_>>, hash: &str) -> Result<Option<Bearer>, DbError> {
    let sql = "select token.tenant, token.connection, connection.slug, connection.enabled, connection.scim, token.id, token.expires_at_ms, token.revoked_at_ms,
            token.last_used_at_ms, coalesce(custom.version, 0) as schema_version
        from scim_token token
        join connection on connection.tenant = token.tenant and connection.id = token.connection
        left join custom_schema custom on custom.tenant = token.tenant
        where token.hash = $1";
    find_connection_bearer(source, sql, hash).await
}

/// `sql` names the columns of [`find_bearer`] and the hash as `$1`.
pub(super) async fn find_connection_bearer(
    source: impl Into<Target<'_>>,
    sql: &'static str,
    hash: &str,
) -> Result<Option<Bearer>, DbError> {
    source.into().query(sql).bind(hash.to_owned()).optional().await?.map(BearerRow::read).transpose()
}

/// At most once a minute; whether something was written.
pub async fn mark_token_used(
    target: impl Into<Target<'_>>,
    tenant: TenantId,
    connection: ConnectionId,
    id: TokenId,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "update scim_token set last_used_at_ms = $4
        where tenant = $1 and connection = $2 and id = $3 and (last_used_at_ms is null or last_used_at_ms <= $4 - 60000)";
    let mut target = target.into();
    let query = target.query(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(id.to_string()).bind(now.millis());
    Ok(query.run().await? == 1)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn why_a_token_lets_nobody_in_is_said_in_words() {
        let now = Timestamp::from_millis(1_772_500_000_000);
        let right = Bearer {
            tenant: TenantId::new(Uuid::from_u128(1)),
            connection: ConnectionId::new(Uuid::from_u128(2)),
            slug: Slug::parse("okta").unwrap(),
            enabled: true,
            scim: ScimSettings { enabled: true, ..ScimSettings::default() },
            token: TokenId::new(Uuid::from_u128(3)),
            expires_at: now.plus_secs(1),
            revoked_at: None,
            last_used_at: None,
            schema_version: 0,
        };
        assert_eq!(right.refused_at("okta", now), None);
        let cases = [
            (right.clone(), "entra", "another connection's"),
            (Bearer { expires_at: now, ..right.clone() }, "okta", "expired"),
            (Bearer { revoked_at: Some(now), expires_at: now, ..right.clone() }, "okta", "revoked"),
            (Bearer { enabled: false, ..right.clone() }, "okta", "disabled"),
            (Bearer { scim: ScimSettings::default(), ..right }, "okta", "not enabled"),
        ];
        for (bearer, slug, expected) in cases {
            let why = bearer.refused_at(slug, now).unwrap();
            assert!(why.contains(expected), "{why}");
        }
    }
}

//! Transactions of somebody who acts: they begin by confirming that the actor still has the rights that were read before.
//!
//! A request reads the rights of its actor, decides, and writes later. Rights can be revoked in between. [`begin`] therefore locks the
//! actor's rows and compares the versions of what was read. If anything differs, the transaction fails as [`DbError::RightsChanged`]: the
//! request is made again from the start, with the rights of now. Once `begin` has returned, a revocation waits until the commit.
//!
//! Order of locks on PostgreSQL: the tenant's role model, the accounts by id (the actor is one of them), the session with its token. All other
//! locks follow. SQLite has one writer, so the comparison alone is enough.

use super::{Db, DbError, Tx, column, engine::Target, session::live};
use crate::domain::{
    account::{AccountKind, SignInStatus},
    actor::{AccountActor, Actor, Occasion, RightsSeen},
    id::{AccountId, ApiTokenId, ConnectionId, OrganizationId, SessionId, TenantId, TokenId},
    time::Timestamp,
};

/// The part of a transaction's writes that decides which rows it locks first.
#[derive(Debug, Clone, Copy)]
pub enum Writes<'a> {
    /// The role model: roles, organizations, catalogue or settings. All other actors of the tenant wait.
    Model,
    /// These accounts; none for what belongs to no account.
    Accounts(&'a [AccountId]),
}

/// An account that may act through a live session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    pub kind: AccountKind,
    pub seen: RightsSeen,
}

#[derive(sqlx::FromRow)]
struct Row {
    kind: String,
    home_organization: Option<String>,
    model_version: i64,
    held_version: i64,
}

/// The state of an active account whose session (and API token, if there is one) is live; `None` for any other.
///
/// Read it before the assignments and the model: it is then never newer than those.
pub async fn find_rights(
    source: impl Into<Target<'_>>,
    tenant: TenantId,
    account: AccountId,
    session: SessionId,
    api_token: Option<ApiTokenId>,
    now: Timestamp,
) -> Result<Option<Rights>, DbError> {
    let sql = concat!(
        "select a.kind, a.home_organization, t.model_version, coalesce(h.version, 0) as held_version
        from account a join tenant t on t.id = a.tenant
        join session s on s.tenant = a.tenant and s.account = a.id and s.id = $3
        left join connection c on c.tenant = s.tenant and c.id = s.connection
        left join held_version h on h.tenant = a.tenant and h.account = a.id
        where a.tenant = $1 and a.id = $2 and a.status = $4 and s.expires_at_ms > $5 and ",
        live!(),
        " and ($6 = '' or exists (select 1 from api_token k
            where k.tenant = $1 and k.id = $6 and k.session = s.id and k.revoked_at_ms is null and k.expires_at_ms > $5))"
    );
    let mut source = source.into();
    let query = source.query(sql).bind(tenant.to_string()).bind(account.to_string()).bind(session.to_string());
    let query = query.bind(SignInStatus::Active.as_str()).bind(now.millis());
    let row: Option<Row> = query.bind(api_token.map_or_else(String::new, |id| id.to_string())).optional().await?;
    row.map(|row| {
        let home: Option<OrganizationId> = column::optional_id("account.home_organization", row.home_organization.as_deref())?;
        let seen = RightsSeen { model_version: row.model_version, held_version: row.held_version, home, api_token };
        Ok(Rights { kind: column::word("account.kind", &row.kind)?, seen })
    })
    .transpose()
}

/// Begins a transaction in the name of the actor, whose rights are confirmed and cannot be revoked until it ends.
///
/// # Errors
/// [`DbError::RightsChanged`] if the rights changed since they were read, [`DbError::Revoked`] if the bearer of a SCIM client was revoked.
pub async fn begin(db: &Db, tenant: TenantId, occasion: &Occasion, writes: Writes<'_>) -> Result<Tx, DbError> {
    let mut tx = db.begin().await?;
    match &occasion.actor {
        Actor::Account(actor) => {
            lock_model(&mut tx, tenant, writes).await?;
            lock_actor(&mut tx, tenant, actor, writes).await?;
            confirm(&mut tx, tenant, actor, occasion.now).await?;
        }
        Actor::Scim { connection, token } => confirm_bearer(&mut tx, tenant, *connection, *token, occasion.now).await?,
        // An application only reads. The others have no rights that somebody could revoke.
        Actor::Application { .. } | Actor::Saml { .. } | Actor::HostOperator | Actor::System => {
            if matches!(writes, Writes::Model) {
                lock_model(&mut tx, tenant, writes).await?;
            }
        }
    }
    Ok(tx)
}

/// Shares the lock of the role model, or takes it alone to change the model. It is the first lock, so that a change of the model and an
/// act never wait for each other.
pub async fn lock_model(tx: &mut Tx, tenant: TenantId, writes: Writes<'_>) -> Result<(), DbError> {
    if tx.is_alone() {
        return Ok(());
    }
    let sql = match writes {
        Writes::Model => "select id from tenant where id = $1 for no key update",
        Writes::Accounts(_) => "select id from tenant where id = $1 for share",
    };
    tx.query(sql).bind(tenant.to_string()).optional::<(String,)>().await.map(drop)
}

/// The actor together with the accounts that change, all in the order of their ids.
async fn lock_actor(tx: &mut Tx, tenant: TenantId, actor: &AccountActor, writes: Writes<'_>) -> Result<(), DbError> {
    if tx.is_alone() {
        return Ok(());
    }
    let targets = match writes {
        Writes::Model => &[],
        Writes::Accounts(targets) => targets,
    };
    let (before, after): (Vec<AccountId>, Vec<AccountId>) = targets.iter().partition(|target| **target <= actor.account);
    if !before.is_empty() {
        super::account::lock_accounts(tx, tenant, &before).await?;
    }
    // A revocation locks the whole row, as does the end of a session. Acts of one actor do not wait for each other.
    let query = match actor.seen.api_token {
        None => tx.query(
            "select a.id from account a join session s on s.tenant = a.tenant and s.account = a.id
             where a.tenant = $1 and a.id = $2 and s.id = $3 for key share",
        ),
        Some(_) => tx.query(
            "select a.id from account a join session s on s.tenant = a.tenant and s.account = a.id
             join api_token k on k.tenant = s.tenant and k.session = s.id
             where a.tenant = $1 and a.id = $2 and s.id = $3 and k.id = $4 for key share",
        ),
    };
    let query = query.bind(tenant.to_string()).bind(actor.account.to_string()).bind(actor.session.to_string());
    let query = actor.seen.api_token.into_iter().fold(query, |query, token| query.bind(token.to_string()));
    query.optional::<(String,)>().await?;
    if !after.is_empty() {
        super::account::lock_accounts(tx, tenant, &after).await?;
    }
    Ok(())
}

async fn confirm(tx: &mut Tx, tenant: TenantId, actor: &AccountActor, now: Timestamp) -> Result<(), DbError> {
    let rights = find_rights(&mut *tx, tenant, actor.account, actor.session, actor.seen.api_token, now).await?;
    if rights.is_some_and(|rights| rights.seen == actor.seen) { Ok(()) } else { Err(DbError::RightsChanged) }
}

/// A SCIM client has one of two kinds of bearers.
async fn confirm_bearer(tx: &mut Tx, tenant: TenantId, connection: ConnectionId, token: TokenId, now: Timestamp) -> Result<(), DbError> {
    let own =
        "select id from scim_token where tenant = $1 and connection = $2 and id = $3 and revoked_at_ms is null and expires_at_ms > $4";
    let of_client = "select token.id from oauth_access_token token
        join oauth_secret secret on secret.tenant = token.tenant and secret.connection = token.connection
            and secret.client = token.client and secret.id = token.secret
        where token.tenant = $1 and token.connection = $2 and token.id = $3 and token.expires_at_ms > $4
            and secret.revoked_at_ms is null";
    for sql in [own, of_client] {
        let query = tx.share(sql).bind(tenant.to_string()).bind(connection.to_string()).bind(token.to_string()).bind(now.millis());
        if query.optional::<(String,)>().await?.is_some() {
            return Ok(());
        }
    }
    Err(DbError::Revoked)
}

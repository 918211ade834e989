//! Sessions: opened after a sign-in, listed and ended by their holder or by whom the right was given; and the one-time links by which
//! local accounts sign in.
//!
//! The database keeps hashes only. The token against forged requests is made from the session's own secret, so that it can be handed
//! out again and is stored nowhere.

use serde_json::json;

use super::{
    holder::{HolderError, authorize_over},
    session_rights,
};
use crate::{
    db::{
        self, Db, DbError, Tx,
        acting::{self, Writes},
        audit::Entry,
        session::SessionRow,
    },
    domain::{
        account::SignInStatus,
        actor::{AccountActor, Actor, Occasion, RightsSeen},
        assignment::live,
        connection::Audience,
        id::{AccountId, ConnectionId, SessionId, TenantId, kind},
        identity::NameIdentifier,
        model::{RoleModel, Settings},
        secret::Secret,
        time::Timestamp,
    },
    keys,
    policy::{
        access::{Grant, enters_console},
        action::RevokeSessions,
    },
};

/// How long a session lasts that was begun by a link.
pub const LOCAL_TTL_SECS: i64 = 8 * 3600;

/// Who signed in, and how.
#[derive(Debug, Clone)]
pub struct SignedIn {
    pub id: SessionId,
    pub tenant: TenantId,
    pub account: AccountId,
    /// `None` after a local sign-in.
    /// With the version of the connection by which it was judged.
    pub connection: Option<(ConnectionId, i64)>,
    /// What it was for.
    pub surface: Audience,
    pub session_index: Option<String>,
    /// As the identity provider named the person.
    pub name_id: Option<NameIdentifier>,
    /// At the latest; what the tenant allows may be less.
    pub expires_at: Timestamp,
    /// Hashes of the session cookies that the browser had before.
    pub former_sessions: Vec<String>,
}

/// Opens a session in the transaction of the sign-in, by what the tenant sets now; `secret` is what the browser will show. Ends the
/// sessions that the browser had, and the oldest of an account that would have too many. Returns until when the session lasts at most.
pub async fn open(
    tx: &mut Tx,
    settings: &Settings,
    occasion: &mut Occasion,
    signed_in: SignedIn,
    secret: &Secret<String>,
) -> Result<Timestamp, DbError> {
    let rights = session_rights::keep(tx, settings, signed_in.tenant, signed_in.account, occasion.now).await?;
    let expires_at = signed_in.expires_at.min(occasion.now.plus_secs(settings.session_ttl_secs));
    end_former(tx, occasion, signed_in.tenant, &signed_in.former_sessions).await?;
    let (tenant, account) = (signed_in.tenant, signed_in.account);
    let surplus = db::session::end_oldest_sessions(tx, tenant, account, settings.max_sessions - 1, occasion.now).await?;
    if surplus > 0 {
        record_end(tx, occasion, tenant, account, surplus, "too_many").await?;
    }
    let session = SessionRow {
        id: signed_in.id,
        tenant: signed_in.tenant,
        account: signed_in.account,
        connection: signed_in.connection.map(|(id, _)| id),
        connection_version: signed_in.connection.map_or(0, |(_, version)| version),
        surface: signed_in.surface,
        session_index: signed_in.session_index,
        name_id: signed_in.name_id,
        rights,
        created_at: occasion.now,
        expires_at,
        last_seen_at: occasion.now,
        csrf_hash: keys::hash(csrf_token(secret).expose()),
    };
    db::session::insert_session(tx, &session, &keys::hash(secret.expose())).await?;
    Ok(expires_at)
}

/// Ends the sessions of these cookies, whoever's they are. Another tenant's audit trail does not name who signed in here.
async fn end_former(tx: &mut Tx, occasion: &mut Occasion, tenant: TenantId, hashes: &[String]) -> Result<(), DbError> {
    for hash in hashes {
        let Some((of, account)) = db::session::end_session_of_cookie(tx, hash, occasion.now).await? else { continue };
        let foreign = (of != tenant).then(|| std::mem::replace(&mut occasion.actor, Actor::System));
        let recorded = record_end(tx, occasion, of, account, 1, "replaced").await;
        if let Some(actor) = foreign {
            occasion.actor = actor;
        }
        recorded?;
    }
    Ok(())
}

/// Whether it still lasts by what the tenant sets today; that it has not ended by its own time was asked before.
#[must_use]
pub fn lasts(session: &SessionRow, settings: &Settings, now: Timestamp) -> bool {
    let idle = settings.session_idle_secs;
    now < session.created_at.plus_secs(settings.session_ttl_secs) && (idle == 0 || now < session.last_seen_at.plus_secs(idle))
}

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("there is no such session")]
    NotFound,
    #[error(transparent)]
    Holder(#[from] HolderError),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The sessions of an account that are alive, the newest first.
pub async fn list(db: &Db, tenant: TenantId, account: AccountId, settings: &Settings, now: Timestamp) -> Result<Vec<SessionRow>, DbError> {
    let rows = db::session::list_sessions(db, tenant, account, now).await?;
    Ok(rows.into_iter().filter(|session| lasts(session, settings, now)).collect())
}

/// As [`list`], of somebody else.
pub async fn list_of(
    _grant: &Grant<RevokeSessions>,
    db: &Db,
    tenant: TenantId,
    account: AccountId,
    settings: &Settings,
    now: Timestamp,
) -> Result<Vec<SessionRow>, DbError> {
    list(db, tenant, account, settings, now).await
}

/// Ends one of one's own.
pub async fn revoke_own(db: &Db, occasion: &mut Occasion, tenant: TenantId, account: AccountId, id: SessionId) -> Result<(), SessionError> {
    let tx = acting::begin(db, tenant, occasion, Writes::Accounts(&[account])).await?;
    revoke_some(tx, occasion, tenant, account, Some(id)).await.map(drop)
}

/// Ends one of somebody else's, or all of them; how many it were.
pub async fn revoke_of(
    db: &Db,
    occasion: &mut Occasion,
    model: &RoleModel,
    account: AccountId,
    id: Option<SessionId>,
) -> Result<u64, SessionError> {
    let mut tx = acting::begin(db, model.tenant, occasion, Writes::Accounts(&[account])).await?;
    authorize_over::<RevokeSessions>(&mut tx, &occasion.actor, model, account).await?;
    revoke_some(tx, occasion, model.tenant, account, id).await
}

async fn revoke_some(
    mut tx: Tx,
    occasion: &mut Occasion,
    tenant: TenantId,
    account: AccountId,
    id: Option<SessionId>,
) -> Result<u64, SessionError> {
    let ended = match id {
        Some(id) if db::session::end_session_of_account(&mut tx, tenant, account, id).await? => 1,
        Some(_) => return Err(SessionError::NotFound),
        None => db::session::end_sessions_of_account(&mut tx, tenant, account).await?,
    };
    if ended > 0 {
        record_end(&mut tx, occasion, tenant, account, ended, "revoked").await?;
    }
    tx.commit().await?;
    Ok(ended)
}

/// What the auditor and those who listen are told of sessions that ended before their time.
pub(super) async fn record_end(
    tx: &mut Tx,
    occasion: &mut Occasion,
    tenant: TenantId,
    account: AccountId,
    ended: u64,
    reason: &str,
) -> Result<(), DbError> {
    let detail = json!({ "count": ended, "reason": reason });
    let entry = Entry { action: "sessions.ended", target_kind: "account", target_id: account.to_string(), detail };
    db::audit::tell(tx, tenant, occasion, &[entry]).await
}

/// The token that goes with every change made with the session: a page of another site can send the cookie, but does not know this.
#[must_use]
pub fn csrf_token(secret: &Secret<String>) -> Secret<String> {
    Secret::new(keys::hash(&format!("rolegate/1 csrf {}", secret.expose())))
}

/// Ends the session that asks for it; false when it has ended before.
pub async fn sign_out(db: &Db, occasion: &mut Occasion, tenant: TenantId, session: &SessionRow) -> Result<bool, DbError> {
    let mut tx = db.begin().await?;
    let ended = db::session::end_session(&mut tx, tenant, session.id).await?;
    if ended {
        record_end(&mut tx, occasion, tenant, session.account, 1, "signed_out").await?;
    }
    tx.commit().await?;
    Ok(ended)
}

/// Uses up a link and opens a session for its account in the place of the browser's former session; `None` when the link is unknown, used or expired, or its account may not sign in
/// without an identity provider or holds no role with which to. A link is used up in either case.
pub async fn sign_in_by_link(
    db: &Db,
    occasion: &mut Occasion,
    link: &Secret<String>,
    secret: &Secret<String>,
    former_session: Option<String>,
) -> Result<Option<Timestamp>, DbError> {
    let mut tx = db.begin().await?;
    let Some((tenant, account)) = db::session::consume_link(&mut tx, &keys::hash(link.expose()), occasion.now).await? else {
        return Ok(None);
    };
    let accounts = db::account::lock_accounts(&mut tx, tenant, &[account]).await?;
    let row = accounts.get(&account).ok_or_else(|| DbError::corrupt("a sign-in link", "its account is not there"))?;
    let may_sign_in = row.has_local_credential && row.account.status == SignInStatus::Active;
    let model = db::model::load_model(&mut tx, tenant).await?;
    let admitted = may_sign_in && {
        let held = db::assignment::held(&mut tx, tenant, &[account]).await?.remove(&account).unwrap_or_default();
        enters_console(&model, &live(held))
    };
    let session = occasion.ids.make::<kind::Session>();
    let surface = Audience::Admin;
    occasion.actor = Actor::Account(AccountActor {
        account,
        kind: row.account.kind,
        session,
        surface,
        assignments: Vec::new(),
        only: None,
        at_sign_in: None,
        seen: RightsSeen::default(),
    });
    let mut expires_at = occasion.now.plus_secs(LOCAL_TTL_SECS);
    let action = if admitted { "sign_in.by_link" } else { "sign_in.link_refused" };
    let entry = Entry { action, target_kind: "account", target_id: account.to_string(), detail: json!({}) };
    db::audit::append(&mut tx, tenant, occasion, &[entry]).await?;
    if admitted {
        let signed_in = SignedIn {
            id: session,
            tenant,
            account,
            connection: None,
            surface,
            session_index: None,
            name_id: None,
            expires_at,
            former_sessions: former_session.into_iter().collect(),
        };
        expires_at = open(&mut tx, &model.settings, occasion, signed_in, secret).await?;
    }
    tx.commit().await?;
    Ok(admitted.then_some(expires_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_a_session_stays_the_same_and_does_not_show_its_secret() {
        let secret = keys::secret([7; 32]);
        let token = csrf_token(&secret);
        assert_eq!(token.expose(), csrf_token(&secret).expose());
        assert_ne!(token.expose(), &keys::hash(secret.expose()), "what the database keeps of the cookie is another value");
        assert_ne!(token.expose(), csrf_token(&keys::secret([8; 32])).expose());
    }
}

//! Sessions: opened after a sign-in, ended by their holder; and the one-time links by which local accounts sign in.
//!
//! The database keeps hashes only. The token against forged requests is made from the session's own secret, so that it can be handed
//! out again and is stored nowhere.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    db::{self, Db, DbError, Tx, account::AccountRow, audit::Entry, session::SessionRow},
    domain::{
        account::SignInStatus,
        actor::{AccountActor, Actor, Occasion},
        assignment::Assignment,
        id::{AccountId, ConnectionId, GroupId, SessionId, TenantId, kind},
        secret::Secret,
        time::Timestamp,
    },
    keys,
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
    pub connection: Option<ConnectionId>,
    pub session_index: Option<String>,
    pub expires_at: Timestamp,
}

/// Opens a session in the transaction of the sign-in; `secret` is what the browser will show.
pub async fn open(tx: &mut Tx, occasion: &mut Occasion, signed_in: SignedIn, secret: &Secret<String>) -> Result<(), DbError> {
    let session = SessionRow {
        id: signed_in.id,
        tenant: signed_in.tenant,
        account: signed_in.account,
        connection: signed_in.connection,
        session_index: signed_in.session_index,
        created_at: occasion.now,
        expires_at: signed_in.expires_at,
        last_seen_at: occasion.now,
        csrf_hash: keys::hash(csrf_token(secret).expose()),
    };
    db::session::insert_session(tx, &session, &keys::hash(secret.expose())).await
}

/// The token that goes with every change made with the session: a page of another site can send the cookie, but does not know this.
#[must_use]
pub fn csrf_token(secret: &Secret<String>) -> Secret<String> {
    Secret::new(keys::hash(&format!("rolegate/1 csrf {}", secret.expose())))
}

/// An account as far as it decides who may end its sessions.
#[derive(Debug, Clone)]
pub struct Holder {
    pub row: AccountRow,
    pub assignments: Vec<Assignment>,
    pub groups: BTreeSet<GroupId>,
}

/// `None` when the tenant has no such account.
pub async fn find_holder(db: &Db, tenant: TenantId, account: AccountId) -> Result<Option<Holder>, DbError> {
    let Some(row) = db::account::find_account(db, tenant, account).await? else { return Ok(None) };
    let assignments = db::assignment::list_held(db, tenant, account).await?;
    let groups = db::group::list_group_ids(db, tenant, account).await?;
    Ok(Some(Holder { row, assignments, groups }))
}

/// Ends one session; false when it has ended before.
pub async fn end(db: &Db, tenant: TenantId, session: &SessionRow) -> Result<bool, DbError> {
    let mut tx = db.begin().await?;
    let ended = db::session::end_session(&mut tx, tenant, session.id).await?;
    tx.commit().await?;
    Ok(ended)
}

/// Uses up a link and opens a session for its account; `None` when the link is unknown, used or expired, or its account may not sign in
/// without an identity provider. A link is used up in either case.
pub async fn sign_in_by_link(
    db: &Db,
    occasion: &mut Occasion,
    link: &Secret<String>,
    secret: &Secret<String>,
) -> Result<Option<Timestamp>, DbError> {
    let mut tx = db.begin().await?;
    let Some((tenant, account)) = db::session::consume_link(&mut tx, &keys::hash(link.expose()), occasion.now).await? else {
        return Ok(None);
    };
    let accounts = db::account::lock_accounts(&mut tx, tenant, &[account]).await?;
    let row = accounts.get(&account).ok_or_else(|| DbError::corrupt("a sign-in link", "its account is not there"))?;
    let admitted = row.has_local_credential && row.account.status == SignInStatus::Active;
    let session = occasion.ids.make::<kind::Session>();
    occasion.actor = Actor::Account(AccountActor { account, kind: row.account.kind, session, assignments: Vec::new(), only: None });
    let expires_at = occasion.now.plus_secs(LOCAL_TTL_SECS);
    let action = if admitted { "sign_in.by_link" } else { "sign_in.link_refused" };
    let entry = Entry { action, target_kind: "account", target_id: account.to_string(), detail: json!({}) };
    db::audit::append(&mut tx, tenant, occasion, &[entry]).await?;
    if admitted {
        open(&mut tx, occasion, SignedIn { id: session, tenant, account, connection: None, session_index: None, expires_at }, secret)
            .await?;
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

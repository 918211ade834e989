//! Single Logout in the database: sessions that an identity provider ends, and requests of ours that wait for its answer.

use std::collections::BTreeMap;

use super::session::record_end;
use crate::{
    db::{self, Db, DbError, logout, session::SessionRow},
    domain::{
        actor::Occasion,
        connection::Connection,
        id::{AccountId, SessionId},
        time::Timestamp,
    },
    saml::logout::LogoutRequest,
};

/// How long an identity provider may take to answer.
const WAITS_SECS: i64 = 600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The same request came before.
    Replayed,
    /// The connection is another one than the request was verified for.
    ConnectionChanged,
    /// The request held no longer when its turn came.
    Expired,
    /// So many sessions; none when they had ended before.
    Sessions(usize),
}

/// Ends exactly the sessions of which a verified request speaks, and uses the request up.
pub async fn end_by_identity_provider(
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    request: &LogoutRequest,
) -> Result<Ended, DbError> {
    let (tenant, id) = (connection.tenant, connection.id);
    let mut tx = db.begin().await?;
    let found = db::connection::find_connection(&mut tx, tenant, id).await?;
    if found.is_none_or(|row| row.connection.version != connection.version) {
        return Ok(Ended::ConnectionChanged);
    }
    if !db::sign_in::consume_assertion(&mut tx, tenant, id, &request.issuer, &request.id, request.remembered_until).await? {
        return Ok(Ended::Replayed);
    }
    if request.usable_until <= occasion.now {
        return Ok(Ended::Expired);
    }
    let (mut accounts, mut ended, mut last) = (BTreeMap::<AccountId, u64>::new(), 0, None);
    loop {
        let sessions = db::session::list_sessions_of_subject(&mut tx, tenant, id, &request.name_id.value, last).await?;
        let Some(latest) = sessions.last() else { break };
        last = Some(latest.id);
        let meant: Vec<_> = sessions.iter().filter(|session| is_meant(request, session)).collect();
        let ids: Vec<SessionId> = meant.iter().map(|session| session.id).collect();
        db::session::end_sessions(&mut tx, tenant, &ids).await?;
        ended += meant.len();
        for session in meant {
            *accounts.entry(session.account).or_default() += 1;
        }
    }
    for (account, ended) in accounts {
        record_end(&mut tx, occasion, tenant, account, ended, "signed_out_by_identity_provider").await?;
    }
    tx.commit().await?;
    Ok(Ended::Sessions(ended))
}

/// SAML core, 3.7.3.1: without a SessionIndex all sessions of the person are meant.
fn is_meant(request: &LogoutRequest, session: &SessionRow) -> bool {
    let named = session.name_id.as_ref().is_some_and(|name_id| request.names(name_id));
    let indexed = || session.session_index.as_ref().is_some_and(|index| request.session_indexes.contains(index));
    named && (request.session_indexes.is_empty() || indexed())
}

/// A request of ours is on its way.
pub async fn remember(db: &Db, connection: &Connection, id: &str, now: Timestamp) -> Result<(), DbError> {
    let mut tx = db.begin().await?;
    logout::insert_logout_request(&mut tx, connection.tenant, connection.id, id, now.plus_secs(WAITS_SECS)).await?;
    tx.commit().await
}

/// Whether the answered request was one of ours that waited; it waits no more.
pub async fn is_answered(db: &Db, occasion: &Occasion, connection: &Connection, id: &str) -> Result<bool, DbError> {
    logout::consume_logout_request(db, connection.tenant, connection.id, id, occasion.now).await
}

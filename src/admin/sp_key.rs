//! The gateway's own key pairs of a connection: made or brought, published, signing, retired, removed. An owner's alone, but for looking.
//!
//! A rotation has five steps: publish the next one, let the identity provider take it in, switch signing to it, go on decrypting with the
//! old one, remove that when nothing is encrypted for it any more.

use serde_json::json;

use crate::{
    db::{
        self, Db, DbError, Tx,
        acting::{self, Writes},
        audit::Entry,
        sp_key::{SpKeyRow, SpKeyState},
    },
    domain::{
        actor::Occasion,
        connection::Connection,
        id::{SpKeyId, kind},
        time::Timestamp,
    },
    keys::{Keys, pair::KeyPlace},
    policy::{
        access::Grant,
        action::{ManageKeys, ReadCertificates},
    },
    provision::Precondition,
    saml::KeyPair,
};

/// A key that stopped being published less than this ago may still be encrypted for: metadata is cached.
pub const IN_USE_SECS: i64 = 7 * 86_400;
/// So long an identity provider is given to take in the next key before it signs.
pub const TAKEN_IN_SECS: i64 = 86_400;
/// Every sign-in with an encrypted assertion may try them all.
pub const MOST_KEYS: usize = 6;

#[derive(Debug, thiserror::Error)]
pub enum SpKeyError {
    /// Also where the right was given for another organization than the connection's.
    #[error("the connection has no such key")]
    NotFound,
    #[error("the connection has this key already")]
    Known,
    #[error("the connection has a next key already, {0}: switch to it with `activate`, or retire it, before another one is added")]
    NextExists(SpKeyId),
    #[error("the connection has {MOST_KEYS} keys: remove retired ones first")]
    TooMany,
    #[error("the key is {state:?} already: only the next one can be switched to", state = .0)]
    NotNext(SpKeyState),
    #[error(
        "the next key is in the metadata since {0} only: an identity provider that has not taken it in refuses what it signs. \
         Wait a day, or switch to it with confirmation (over the API \"confirm\": true, on the command line --confirm)"
    )]
    NotTakenIn(Timestamp),
    #[error(
        "this key signs what the connection sends: switch to the next one first, or retire it with confirmation (over the API \"confirm\": true, on the command line --confirm), after which the \
         connection signs nothing"
    )]
    Signs,
    #[error("the key is not retired: retire it first, and give the identity provider time to notice")]
    NotRetired,
    #[error(
        "the key may still be encrypted for (it was used or published until {0}): what is would be unreadable. \
         Wait a week, or remove it with confirmation (over the API \"confirm\": true, on the command line --confirm)"
    )]
    InUse(Timestamp),
    #[error("the master key was changed while this node runs: restart it with the new one")]
    OtherMasterKey,
    #[error("the connection has another version than the one named")]
    Stale,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A private key on its way into the database.
#[derive(Debug)]
pub struct Sealing<'a> {
    pub keys: &'a Keys,
    /// Random.
    pub nonce: [u8; 12],
}

/// Every key of the connection, in the order of their adding.
pub async fn list(grant: &Grant<ReadCertificates>, db: &Db, connection: &Connection) -> Result<Vec<SpKeyRow>, SpKeyError> {
    if grant.at() != connection.organization {
        return Err(SpKeyError::NotFound);
    }
    Ok(db::sp_key::list_sp_keys(db, connection.tenant, connection.id).await?)
}

/// Adds a key pair: the first signs at once, a further one is published as `next`. With the connection's version after it, as with all
/// changes here.
pub async fn add(
    grant: &Grant<ManageKeys>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    precondition: &Precondition,
    sealing: &Sealing<'_>,
    pair: &KeyPair,
) -> Result<(SpKeyRow, i64), SpKeyError> {
    let id = occasion.ids.make::<kind::SpKey>();
    let place = KeyPlace { tenant: connection.tenant, connection: connection.id, id };
    let sealed = sealing.keys.seal_private_key(place, sealing.nonce, pair);
    let (mut tx, version) = begin(grant, db, occasion, connection, precondition).await?;
    let check = db::installation::lock_key_check(&mut tx).await?;
    if !check.is_some_and(|check| sealing.keys.gives(&check)) {
        return Err(SpKeyError::OtherMasterKey);
    }
    let known = db::sp_key::list_sp_keys(&mut tx, connection.tenant, connection.id).await?;
    let certificate = pair.certificate();
    if known.iter().any(|row| row.fingerprint == certificate.fingerprint()) {
        return Err(SpKeyError::Known);
    }
    if let Some(next) = in_state(&known, SpKeyState::Next) {
        return Err(SpKeyError::NextExists(next.id));
    }
    if known.len() >= MOST_KEYS {
        return Err(SpKeyError::TooMany);
    }
    let state = if in_state(&known, SpKeyState::Current).is_some() { SpKeyState::Next } else { SpKeyState::Current };
    let row = SpKeyRow {
        id,
        connection: connection.id,
        certificate_der: certificate.der().to_vec(),
        fingerprint: certificate.fingerprint().to_owned(),
        subject: certificate.subject().to_owned(),
        key_kind: certificate.key().to_string(),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        sealed,
        state,
        added_by: grant.actor().account_id(),
        added_at: occasion.now,
        current_since: (state == SpKeyState::Current).then_some(occasion.now),
        retired_by: None,
        retired_at: None,
        last_decrypted_at: None,
    };
    if !db::sp_key::insert_sp_key(&mut tx, connection.tenant, &row).await? {
        return Err(SpKeyError::Known);
    }
    record(&mut tx, occasion, connection, "sp_key.added", &row).await?;
    tx.commit().await?;
    Ok((row, version))
}

/// Switches signing to the next key; the one that signed so far is retired and goes on decrypting. `confirmed`: whoever asks was told what
/// it may break.
pub async fn activate(
    grant: &Grant<ManageKeys>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    precondition: &Precondition,
    id: SpKeyId,
    confirmed: bool,
) -> Result<(SpKeyRow, i64), SpKeyError> {
    let (mut tx, version) = begin(grant, db, occasion, connection, precondition).await?;
    let known = db::sp_key::list_sp_keys(&mut tx, connection.tenant, connection.id).await?;
    let row = find(&known, id)?;
    match row.state {
        // Twice is once.
        SpKeyState::Current => return Ok((row, version - 1)),
        SpKeyState::Retired => return Err(SpKeyError::NotNext(row.state)),
        SpKeyState::Next => {}
    }
    let before = in_state(&known, SpKeyState::Current);
    if before.is_some() && !confirmed && occasion.now < row.added_at.plus_secs(TAKEN_IN_SECS) {
        return Err(SpKeyError::NotTakenIn(row.added_at));
    }
    if let Some(before) = before {
        let retired = retired(before.clone(), occasion);
        db::sp_key::retire_sp_key(&mut tx, connection.tenant, connection.id, before.id, retired.retired_by, occasion.now).await?;
        record(&mut tx, occasion, connection, "sp_key.retired", &retired).await?;
    }
    db::sp_key::activate_sp_key(&mut tx, connection.tenant, connection.id, id, occasion.now).await?;
    let row = SpKeyRow { state: SpKeyState::Current, current_since: Some(occasion.now), ..row };
    record(&mut tx, occasion, connection, "sp_key.activated", &row).await?;
    tx.commit().await?;
    Ok((row, version))
}

/// Takes a key out of the metadata; it goes on decrypting. One that is retired already stays as it is.
pub async fn retire(
    grant: &Grant<ManageKeys>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    precondition: &Precondition,
    id: SpKeyId,
    confirmed: bool,
) -> Result<(SpKeyRow, i64), SpKeyError> {
    let (mut tx, version) = begin(grant, db, occasion, connection, precondition).await?;
    let known = db::sp_key::list_sp_keys(&mut tx, connection.tenant, connection.id).await?;
    let row = find(&known, id)?;
    match row.state {
        SpKeyState::Retired => return Ok((row, version - 1)),
        SpKeyState::Current if !confirmed => return Err(SpKeyError::Signs),
        SpKeyState::Current | SpKeyState::Next => {}
    }
    let row = retired(row, occasion);
    db::sp_key::retire_sp_key(&mut tx, connection.tenant, connection.id, id, row.retired_by, occasion.now).await?;
    record(&mut tx, occasion, connection, "sp_key.retired", &row).await?;
    tx.commit().await?;
    Ok((row, version))
}

/// Destroys a retired key: what is encrypted for it can be read no more.
pub async fn remove(
    grant: &Grant<ManageKeys>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    precondition: &Precondition,
    id: SpKeyId,
    confirmed: bool,
) -> Result<i64, SpKeyError> {
    let (mut tx, version) = begin(grant, db, occasion, connection, precondition).await?;
    let known = db::sp_key::list_sp_keys(&mut tx, connection.tenant, connection.id).await?;
    let row = find(&known, id)?;
    if row.state != SpKeyState::Retired {
        return Err(SpKeyError::NotRetired);
    }
    let used = row.last_decrypted_at.max(row.retired_at);
    if let Some(used) = used.filter(|used| !confirmed && occasion.now < used.plus_secs(IN_USE_SECS)) {
        return Err(SpKeyError::InUse(used));
    }
    db::sp_key::delete_sp_key(&mut tx, connection.tenant, connection.id, id).await?;
    record(&mut tx, occasion, connection, "sp_key.removed", &row).await?;
    tx.commit().await?;
    Ok(version)
}

/// Raising the version first makes every other rotation of this connection wait, and tells every node. With the version as it is raised.
async fn begin(
    grant: &Grant<ManageKeys>,
    db: &Db,
    occasion: &Occasion,
    connection: &Connection,
    precondition: &Precondition,
) -> Result<(Tx, i64), SpKeyError> {
    if grant.at() != connection.organization {
        return Err(SpKeyError::NotFound);
    }
    let mut tx = acting::begin(db, connection.tenant, occasion, Writes::Accounts(&[])).await?;
    let version = db::connection::raise_connection_version(&mut tx, connection.tenant, connection.id).await?;
    let version = version.ok_or(SpKeyError::NotFound)?;
    if precondition.admits(version - 1) { Ok((tx, version)) } else { Err(SpKeyError::Stale) }
}

fn find(known: &[SpKeyRow], id: SpKeyId) -> Result<SpKeyRow, SpKeyError> {
    known.iter().find(|row| row.id == id).cloned().ok_or(SpKeyError::NotFound)
}

fn in_state(known: &[SpKeyRow], state: SpKeyState) -> Option<&SpKeyRow> {
    known.iter().find(|row| row.state == state)
}

fn retired(row: SpKeyRow, occasion: &Occasion) -> SpKeyRow {
    SpKeyRow { state: SpKeyState::Retired, retired_by: occasion.actor.account_id(), retired_at: Some(occasion.now), ..row }
}

async fn record(
    tx: &mut Tx,
    occasion: &mut Occasion,
    connection: &Connection,
    action: &'static str,
    row: &SpKeyRow,
) -> Result<(), DbError> {
    let detail = json!({
        "connection": { "id": connection.id, "slug": connection.slug },
        "fingerprint": row.fingerprint,
        "not_after": row.not_after.to_string(),
        "state": row.state,
    });
    let entry = Entry { action, target_kind: "sp_key", target_id: row.id.to_string(), detail };
    db::audit::tell(tx, connection.tenant, occasion, &[entry]).await
}

//! The certificates by which an identity provider's signatures are believed: adding, retiring, listing. An owner's alone, but for looking.
//!
//! A rotation has four steps: add the new one, both are trusted, watch which one is used, retire the old one.

use serde_json::json;

use crate::{
    db::{
        self, Db, DbError, Tx,
        acting::{self, Writes},
        audit::Entry,
        certificate::{CertificateState, IdpCertificateRow},
    },
    domain::{
        actor::Occasion,
        connection::Connection,
        id::{AccountId, CertificateId, ConnectionId, kind},
        time::Timestamp,
    },
    policy::{
        access::Grant,
        action::{ReadCertificates, RotateCertificates},
    },
    provision::Precondition,
    saml::Certificate,
};

/// A certificate that verified a sign-in within this time is still in use.
pub const IN_USE_SECS: i64 = 7 * 86_400;
/// Certificates that a connection trusts at a time: a response is checked against each of them until one fits.
pub const MOST_TRUSTED: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// Also where the right was given for another organization than the connection's.
    #[error("the connection has no such certificate")]
    NotFound,
    #[error(
        "this is the last certificate that is trusted: without it nobody signs in through this connection. Add its successor first, or retire it with confirmation (over the API \"confirm\": true, on the command line --confirm)"
    )]
    LastOne,
    #[error(
        "the last sign-in verified with this certificate was at {0}: the identity provider still signs with it. Wait until it signs with another one, or retire it with confirmation (over the API \"confirm\": true, on the command line --confirm)"
    )]
    InUse(Timestamp),
    #[error(transparent)]
    TooMany(TooMany),
    #[error("the connection has another version than the one named")]
    Stale,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Why nothing more is trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<TrustError> for RotationError {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::TooMany(error) => Self::TooMany(error),
            TrustError::Db(error) => Self::Db(error),
        }
    }
}

/// The connection trusts as many certificates as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a connection trusts {MOST_TRUSTED} certificates at most: retire those that are used no more first")]
pub struct TooMany;

/// What is kept as a certificate is named in metadata that an owner imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    Trusted,
    /// An owner retired it: it is trusted again by adding it, and by nothing else.
    Retired,
    Unknown,
}

#[must_use]
pub fn named(known: &[IdpCertificateRow], certificate: &Certificate) -> Named {
    match known.iter().find(|row| row.fingerprint == certificate.fingerprint()) {
        Some(row) if is_trusted(row) => Named::Trusted,
        Some(_) => Named::Retired,
        None => Named::Unknown,
    }
}

/// Whether so many more may be trusted.
pub fn check_room(known: &[IdpCertificateRow], more: usize) -> Result<(), TooMany> {
    if known.iter().filter(|row| is_trusted(row)).count() + more > MOST_TRUSTED { Err(TooMany) } else { Ok(()) }
}

/// Every certificate of the connection, retired ones too, in the order of their adding.
pub async fn list(grant: &Grant<ReadCertificates>, db: &Db, connection: &Connection) -> Result<Vec<IdpCertificateRow>, RotationError> {
    if grant.at() != connection.organization {
        return Err(RotationError::NotFound);
    }
    Ok(db::certificate::list_certificates(db, connection.tenant, connection.id).await?)
}

/// Trusts a certificate from now on: the first as `current`, any further one as `next`. One that is trusted already stays as it is;
/// whether anything was added is said beside the row, with the connection's version after it.
pub async fn add(
    grant: &Grant<RotateCertificates>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    precondition: &Precondition,
    certificate: &Certificate,
) -> Result<(IdpCertificateRow, bool, i64), RotationError> {
    let (mut tx, version) = begin(grant, db, occasion, connection, precondition).await?;
    let (row, added) = trust(&mut tx, occasion, connection, certificate, grant.actor().account_id()).await?;
    if !added {
        return Ok((row, false, version - 1));
    }
    tx.commit().await?;
    Ok((row, true, version))
}

/// As [`add`], inside a transaction that has raised the connection's version; the right was asked for before.
pub(super) async fn trust(
    tx: &mut Tx,
    occasion: &mut Occasion,
    connection: &Connection,
    certificate: &Certificate,
    by: Option<AccountId>,
) -> Result<(IdpCertificateRow, bool), TrustError> {
    let known = db::certificate::list_certificates(&mut *tx, connection.tenant, connection.id).await?;
    if named(&known, certificate) != Named::Trusted {
        check_room(&known, 1)?;
    }
    let state = if known.iter().any(is_trusted) { CertificateState::Next } else { CertificateState::Current };
    let row = match known.into_iter().find(|row| row.fingerprint == certificate.fingerprint()) {
        // Nothing changes, so nothing is written.
        Some(row) if is_trusted(&row) => return Ok((row, false)),
        Some(row) => {
            db::certificate::trust_certificate(tx, connection.tenant, connection.id, row.id, state).await?;
            IdpCertificateRow { state, retired_by: None, retired_at: None, ..row }
        }
        None => {
            let row = new_row(Adding { by, from_file: false }, occasion, connection.id, certificate, state);
            db::certificate::insert_certificate(tx, connection.tenant, &row).await?;
            row
        }
    };
    record(tx, occasion, connection, "certificate.added", &row).await?;
    Ok((row, true))
}

/// Trusts a certificate no longer. One that is retired already stays as it is. `confirmed`: whoever asks was told what it may break. With the
/// connection's version after it.
pub async fn retire(
    grant: &Grant<RotateCertificates>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    precondition: &Precondition,
    id: CertificateId,
    confirmed: bool,
) -> Result<(IdpCertificateRow, i64), RotationError> {
    let (mut tx, version) = begin(grant, db, occasion, connection, precondition).await?;
    let known = db::certificate::list_certificates(&mut tx, connection.tenant, connection.id).await?;
    let row = known.iter().find(|row| row.id == id).ok_or(RotationError::NotFound)?.clone();
    if !is_trusted(&row) {
        return Ok((row, version - 1));
    }
    if !confirmed {
        may_go(&row, &known, occasion.now)?;
    }
    let by = occasion.actor.account_id();
    db::certificate::retire_certificate(&mut tx, connection.tenant, connection.id, id, by, occasion.now).await?;
    let mut left = known.iter().filter(|row| row.id != id && is_trusted(row));
    if row.state == CertificateState::Current
        && let Some(heir) = left.clone().find(|row| row.state == CertificateState::Next)
        && left.all(|row| row.state == CertificateState::Next)
    {
        db::certificate::trust_certificate(&mut tx, connection.tenant, connection.id, heir.id, CertificateState::Current).await?;
    }
    let row = IdpCertificateRow { state: CertificateState::Retired, retired_by: by, retired_at: Some(occasion.now), ..row };
    record(&mut tx, occasion, connection, "certificate.retired", &row).await?;
    tx.commit().await?;
    Ok((row, version))
}

/// Raising the version first makes every other rotation of this connection wait. With the version as it is raised.
async fn begin(
    grant: &Grant<RotateCertificates>,
    db: &Db,
    occasion: &Occasion,
    connection: &Connection,
    precondition: &Precondition,
) -> Result<(Tx, i64), RotationError> {
    if grant.at() != connection.organization {
        return Err(RotationError::NotFound);
    }
    let mut tx = acting::begin(db, connection.tenant, occasion, Writes::Accounts(&[])).await?;
    let version = db::connection::raise_connection_version(&mut tx, connection.tenant, connection.id).await?;
    let version = version.ok_or(RotationError::NotFound)?;
    if precondition.admits(version - 1) { Ok((tx, version)) } else { Err(RotationError::Stale) }
}

fn is_trusted(row: &IdpCertificateRow) -> bool {
    row.state != CertificateState::Retired
}

fn may_go(row: &IdpCertificateRow, known: &[IdpCertificateRow], now: Timestamp) -> Result<(), RotationError> {
    if !known.iter().any(|other| other.id != row.id && is_trusted(other) && now < other.not_after) {
        return Err(RotationError::LastOne);
    }
    match row.last_used_at {
        Some(used) if now < used.plus_secs(IN_USE_SECS) => Err(RotationError::InUse(used)),
        Some(_) | None => Ok(()),
    }
}

/// Who adds a certificate, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adding {
    pub by: Option<AccountId>,
    pub from_file: bool,
}

pub(super) fn new_row(
    adding: Adding,
    occasion: &mut Occasion,
    connection: ConnectionId,
    certificate: &Certificate,
    state: CertificateState,
) -> IdpCertificateRow {
    IdpCertificateRow {
        id: occasion.ids.make::<kind::Certificate>(),
        connection,
        der: certificate.der().to_vec(),
        fingerprint: certificate.fingerprint().to_owned(),
        subject: certificate.subject().to_owned(),
        key_kind: certificate.key().to_string(),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        state,
        from_file: adding.from_file,
        added_by: adding.by,
        added_at: occasion.now,
        retired_by: None,
        retired_at: None,
        first_used_at: None,
        last_used_at: None,
    }
}

async fn record(
    tx: &mut Tx,
    occasion: &mut Occasion,
    connection: &Connection,
    action: &'static str,
    row: &IdpCertificateRow,
) -> Result<(), DbError> {
    let detail = json!({
        "connection": { "id": connection.id, "slug": connection.slug },
        "fingerprint": row.fingerprint,
        "not_after": row.not_after.to_string(),
        "state": row.state,
    });
    let entry = Entry { action, target_kind: "certificate", target_id: row.id.to_string(), detail };
    db::audit::tell(tx, connection.tenant, occasion, &[entry]).await
}

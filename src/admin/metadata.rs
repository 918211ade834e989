//! The metadata of a connection's identity provider: an owner imports it; what a later reading brings is proposed to the owners, or, where
//! one of them said so for the address, taken over. No certificate is ever dropped here: that an owner does, by hand.

pub mod reading;

use serde::Serialize;
use serde_json::json;

use super::certificate::{self, Named, TooMany, TrustError};
use crate::{
    db::{
        self, Db, DbError, Tx,
        acting::{self, Writes},
        audit::Entry,
        certificate::{CertificateState, IdpCertificateRow},
        idp_metadata::{self, MetadataRow, ProposalRow, ProposalState, What},
    },
    domain::{
        actor::Occasion,
        connection::{Connection, SamlSettings},
        id::{AccountId, EventId, OrganizationId, kind},
        time::Timestamp,
    },
    keys,
    policy::{
        access::Grant,
        action::{ReadCertificates, UpdateMetadata},
    },
    provision::Precondition,
    saml::{self, Certificate, IdpMetadata},
};

/// Read at least so often; AD FS uses its next certificate five days after it published it.
const DAY_SECS: i64 = 86_400;
/// And no more often than this, whatever the document says.
const LEAST_SECS: i64 = 600;
/// So many failures in a row are told to somebody.
const TOLD_AFTER: i64 = 3;
const PROPOSED: &str = "metadata.proposed";
const FAILING: &str = "metadata.failing";

#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// Also where the right was given for another organization than the connection's.
    #[error("the connection has no such metadata or proposal")]
    NotFound,
    #[error(
        "the metadata is of {got:?}, and the connection is with {known:?}: is it the right file? If it is, import it with confirmation (over the API \"confirm\": true, on the command line --confirm)"
    )]
    OtherIdentityProvider { known: String, got: String },
    #[error("the metadata was valid until {0}: take a newer one")]
    Expired(Timestamp),
    #[error("auto_trust is for an address: metadata that was uploaded is not read again")]
    AutoTrustWithoutUrl,
    #[error(transparent)]
    Unreadable(#[from] saml::MetadataError),
    #[error(transparent)]
    TooMany(TooMany),
    #[error("the connection is being changed by somebody else: try again")]
    Meanwhile,
    #[error("the connection has another version than the one named")]
    Stale,
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<TrustError> for MetadataError {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::TooMany(error) => Self::TooMany(error),
            TrustError::Db(error) => Self::Db(error),
        }
    }
}

/// A document that was read, with the hash of its bytes.
#[derive(Debug, Clone)]
pub struct Document {
    pub metadata: IdpMetadata,
    digest: String,
}

impl Document {
    /// Bounded; see [`IdpMetadata::parse`].
    pub fn parse(bytes: &[u8]) -> Result<Self, saml::MetadataError> {
        let metadata = IdpMetadata::parse(bytes)?;
        Ok(Self { metadata, digest: keys::hash(&String::from_utf8_lossy(bytes)) })
    }

    fn check_validity(&self, now: Timestamp) -> Result<(), MetadataError> {
        match self.metadata.valid_until {
            Some(end) if end <= now => Err(MetadataError::Expired(end)),
            Some(_) | None => Ok(()),
        }
    }
}

/// What a reading changed, proposed, or found missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<(String, String)>,
    pub addresses: Vec<AddressChange>,
    /// Fingerprints.
    pub certificates_added: Vec<String>,
    /// Fingerprints and addresses that wait for an owner.
    pub proposed: Vec<String>,
    /// Trusted here and not in the metadata: they stay, an owner may retire them.
    pub certificates_missing: Vec<String>,
    /// In the metadata and retired here: they stay retired, an owner may add them again.
    pub certificates_retired: Vec<String>,
    /// In the metadata and expired: not trusted for that.
    pub certificates_expired: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddressChange {
    pub what: What,
    pub before: Option<String>,
    pub after: String,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.entity_id.is_none() && self.addresses.is_empty() && self.certificates_added.is_empty() && self.proposed.is_empty()
    }
}

/// How an owner imports.
#[derive(Debug, Clone, Copy, Default)]
pub struct Source<'a> {
    /// Where it was read and is to be read again; `None`: uploaded.
    pub url: Option<&'a str>,
    /// Certificates that the address brings later are trusted at once.
    pub auto_trust: bool,
    /// Whoever asks was told that it is of another identity provider.
    pub confirmed: bool,
}

/// Takes everything over: entity ID, addresses, certificates. With the connection's version after it.
pub async fn import(
    grant: &Grant<UpdateMetadata>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    precondition: &Precondition,
    document: &Document,
    source: Source<'_>,
) -> Result<(Changes, i64), MetadataError> {
    document.check_validity(occasion.now)?;
    if source.auto_trust && source.url.is_none() {
        return Err(MetadataError::AutoTrustWithoutUrl);
    }
    let by = grant.actor().account_id();
    let (mut tx, mut connection) = begin(grant.at(), db, occasion, connection, precondition).await?;
    let mut changes = Changes::default();
    let known = connection.saml.idp_entity_id.clone();
    let named = &document.metadata.entity_id;
    if *named != known {
        if !known.is_empty() && !source.confirmed {
            return Err(MetadataError::OtherIdentityProvider { known, got: named.clone() });
        }
        changes.entity_id = Some((known, named.clone()));
        connection.saml.idp_entity_id.clone_from(named);
    }
    for change in address_changes(&connection.saml, &document.metadata) {
        take_over(&mut connection.saml, change.what, &change.after);
        changes.addresses.push(change);
    }
    connection.saml.idp_wants_signed_requests = document.metadata.want_authn_requests_signed;
    let version = write_connection(&mut tx, &connection, occasion.now).await?;
    add_certificates(&mut tx, occasion, &connection, document, by, &mut changes).await?;
    let row = MetadataRow {
        tenant: connection.tenant,
        connection: connection.id,
        url: source.url.map(str::to_owned),
        auto_trust: source.auto_trust,
        digest: Some(document.digest.clone()),
        valid_until: document.metadata.valid_until,
        set_by: by,
        set_at: occasion.now,
        read_at: Some(occasion.now),
        failures: 0,
        last_error: None,
        due_at: source.url.map(|_| next_reading(occasion.now, &document.metadata)),
    };
    idp_metadata::put_metadata(&mut tx, &row).await?;
    settle_proposals(&mut tx, occasion, &connection, document, &[], by).await?;
    let origin = json!({ "url": row.url, "auto_trust": row.auto_trust });
    record(&mut tx, occasion, &connection, "metadata.imported", &json!({ "source": origin, "changes": changes })).await?;
    tx.commit().await?;
    Ok((changes, version))
}

/// What a reading of the address brings: taken over where an owner said so, else proposed.
pub async fn refresh(db: &Db, occasion: &mut Occasion, row: &MetadataRow, document: &Document) -> Result<Changes, MetadataError> {
    document.check_validity(occasion.now)?;
    if row.digest.as_deref() == Some(&document.digest) {
        return note_unchanged(db, occasion, row, document).await;
    }
    let found = db::connection::find_connection(db, row.tenant, row.connection).await?.ok_or(MetadataError::NotFound)?;
    let (mut tx, mut connection) = begin(found.connection.organization, db, occasion, &found.connection, &Precondition::None).await?;
    let now = idp_metadata::find_metadata(&mut tx, row.tenant, row.connection).await?;
    // An owner may have named another address while this one was read.
    let Some(now) = now.filter(|now| now.url == row.url) else { return Err(MetadataError::Meanwhile) };
    let metadata = &document.metadata;
    if metadata.entity_id != connection.saml.idp_entity_id {
        let (known, got) = (connection.saml.idp_entity_id.clone(), metadata.entity_id.clone());
        return Err(MetadataError::OtherIdentityProvider { known, got });
    }
    let mut changes = Changes::default();
    let addresses = address_changes(&connection.saml, metadata);
    let known = db::certificate::list_certificates(&mut tx, row.tenant, row.connection).await?;
    changes.certificates_missing = missing(&known, metadata);
    let fresh = fresh(&known, metadata, occasion.now, &mut changes);
    let mut proposals = Vec::new();
    if metadata.want_authn_requests_signed != connection.saml.idp_wants_signed_requests {
        // Never taken over unasked: without a key no sign-in would begin.
        let wanted = metadata.want_authn_requests_signed.to_string();
        proposals.push((What::SignedRequests, wanted.clone(), wanted));
    }
    if now.auto_trust {
        for change in addresses {
            take_over(&mut connection.saml, change.what, &change.after);
            changes.addresses.push(change);
        }
        if !changes.addresses.is_empty() {
            write_connection(&mut tx, &connection, occasion.now).await?;
        }
        for certificate in fresh {
            certificate::trust(&mut tx, occasion, &connection, certificate, None).await?;
            changes.certificates_added.push(certificate.fingerprint().to_owned());
        }
    } else {
        let certificates = fresh.into_iter().map(|new| (What::Certificate, new.fingerprint().to_owned(), new.to_base64()));
        let addresses = addresses.into_iter().map(|change| (change.what, change.after.clone(), change.after));
        proposals = certificates.chain(addresses).chain(proposals).collect();
    }
    let proposals: Vec<_> = proposals
        .into_iter()
        .map(|(what, key, value)| ProposalRow {
            id: occasion.ids.make::<kind::Event>(),
            what,
            key,
            value,
            state: ProposalState::Open,
            proposed_at: occasion.now,
            decided_by: None,
            decided_at: None,
        })
        .collect();
    changes.proposed = settle_proposals(&mut tx, occasion, &connection, document, &proposals, None).await?;
    let row = MetadataRow {
        digest: Some(document.digest.clone()),
        valid_until: metadata.valid_until,
        read_at: Some(occasion.now),
        failures: 0,
        last_error: None,
        due_at: Some(next_reading(occasion.now, metadata)),
        ..now
    };
    idp_metadata::put_metadata(&mut tx, &row).await?;
    db::attention::resolve_kind(&mut tx, row.tenant, FAILING, row.connection, occasion.now).await?;
    if !changes.is_empty() {
        record(&mut tx, occasion, &connection, "metadata.refreshed", &json!({ "url": row.url, "changes": changes })).await?;
    }
    tx.commit().await?;
    Ok(changes)
}

/// The same document again: nothing is compared, and nobody who reads the connection has to read it anew.
async fn note_unchanged(db: &Db, occasion: &Occasion, row: &MetadataRow, document: &Document) -> Result<Changes, MetadataError> {
    let mut tx = db.begin().await?;
    let now = idp_metadata::lock_metadata(&mut tx, row.tenant, row.connection).await?;
    let now = now.filter(|now| now.url == row.url).ok_or(MetadataError::Meanwhile)?;
    let due_at = Some(next_reading(occasion.now, &document.metadata));
    let row = MetadataRow { read_at: Some(occasion.now), failures: 0, last_error: None, due_at, ..now };
    idp_metadata::put_metadata(&mut tx, &row).await?;
    db::attention::resolve_kind(&mut tx, row.tenant, FAILING, row.connection, occasion.now).await?;
    tx.commit().await?;
    Ok(Changes::default())
}

/// A reading failed: it is tried again, later each time, and what was trusted stays trusted.
pub async fn note_failure(db: &Db, occasion: &mut Occasion, row: &MetadataRow, why: &str) -> Result<(), DbError> {
    let mut tx = db.begin().await?;
    let Some(now) = idp_metadata::lock_metadata(&mut tx, row.tenant, row.connection).await? else { return Ok(()) };
    if now.url != row.url {
        return Ok(());
    }
    let failures = now.failures + 1;
    let due_at = Some(occasion.now.plus_secs(retry_after_secs(failures)));
    let row = MetadataRow { failures, last_error: Some(why.chars().take(500).collect()), due_at, ..now };
    idp_metadata::put_metadata(&mut tx, &row).await?;
    if failures >= TOLD_AFTER || row.valid_until.is_some_and(|end| end <= occasion.now) {
        let detail = json!({ "url": row.url, "valid_until": row.valid_until.map(|end| end.to_string()) });
        db::attention::raise(&mut tx, row.tenant, occasion, FAILING, Some(row.connection), None, &detail).await?;
    }
    tx.commit().await
}

/// Where the metadata comes from, and what it brought.
pub async fn show(
    grant: &Grant<ReadCertificates>,
    db: &Db,
    connection: &Connection,
) -> Result<(Option<MetadataRow>, Vec<ProposalRow>), MetadataError> {
    if grant.at() != connection.organization {
        return Err(MetadataError::NotFound);
    }
    let row = idp_metadata::find_metadata(db, connection.tenant, connection.id).await?;
    Ok((row, idp_metadata::list_proposals(db, connection.tenant, connection.id).await?))
}

/// For whoever has the address read now. `None` where it is not read from an address.
pub async fn find_source(grant: &Grant<UpdateMetadata>, db: &Db, connection: &Connection) -> Result<Option<MetadataRow>, MetadataError> {
    if grant.at() != connection.organization {
        return Err(MetadataError::NotFound);
    }
    Ok(idp_metadata::find_metadata(db, connection.tenant, connection.id).await?.filter(|row| row.url.is_some()))
}

/// Takes over, or declines, what a reading proposed. With the connection's version after it.
pub async fn decide(
    grant: &Grant<UpdateMetadata>,
    db: &Db,
    occasion: &mut Occasion,
    connection: &Connection,
    precondition: &Precondition,
    id: EventId,
    accepted: bool,
) -> Result<(ProposalRow, i64), MetadataError> {
    let (mut tx, mut connection) = begin(grant.at(), db, occasion, connection, precondition).await?;
    let mut version = connection.version;
    let open = idp_metadata::list_open_proposals(&mut tx, connection.tenant, connection.id).await?;
    let proposal = open.iter().find(|row| row.id == id).ok_or(MetadataError::NotFound)?.clone();
    let by = grant.actor().account_id();
    let state = if accepted { ProposalState::Accepted } else { ProposalState::Declined };
    if !idp_metadata::decide(&mut tx, connection.tenant, connection.id, id, state, by, occasion.now).await? {
        return Err(MetadataError::NotFound);
    }
    match proposal.what {
        What::Certificate if accepted => {
            let certificate = Certificate::parse(&proposal.value).map_err(|error| DbError::corrupt("a proposed certificate", &error))?;
            certificate::trust(&mut tx, occasion, &connection, &certificate, by).await?;
        }
        What::SsoUrl | What::SsoPostUrl | What::SloRedirectUrl | What::SloPostUrl | What::SignedRequests if accepted => {
            if proposal.what != What::SignedRequests {
                // An older release may have proposed an address that is refused now.
                saml::check_address("the proposal", &proposal.value)?;
            }
            take_over(&mut connection.saml, proposal.what, &proposal.value);
            version = write_connection(&mut tx, &connection, occasion.now).await?;
        }
        What::Certificate | What::SsoUrl | What::SsoPostUrl | What::SloRedirectUrl | What::SloPostUrl | What::SignedRequests => {}
    }
    if open.len() == 1 {
        db::attention::resolve_kind(&mut tx, connection.tenant, PROPOSED, connection.id, occasion.now).await?;
    }
    let action = if accepted { "metadata.accepted" } else { "metadata.declined" };
    record(&mut tx, occasion, &connection, action, &json!({ "what": proposal.what, "key": proposal.key })).await?;
    tx.commit().await?;
    Ok((ProposalRow { state, decided_by: by, decided_at: Some(occasion.now), ..proposal }, version))
}

/// Raising the version first makes every other change of this connection wait; what it is, is read after that.
async fn begin(
    at: OrganizationId,
    db: &Db,
    occasion: &Occasion,
    connection: &Connection,
    precondition: &Precondition,
) -> Result<(Tx, Connection), MetadataError> {
    if at != connection.organization {
        return Err(MetadataError::NotFound);
    }
    let mut tx = acting::begin(db, connection.tenant, occasion, Writes::Accounts(&[])).await?;
    let version = db::connection::raise_connection_version(&mut tx, connection.tenant, connection.id).await?;
    // The one before is the one that was read.
    if !precondition.admits(version.ok_or(MetadataError::NotFound)? - 1) {
        return Err(MetadataError::Stale);
    }
    let found = db::connection::find_connection(&mut tx, connection.tenant, connection.id).await?;
    let connection = found.map(|row| row.connection).ok_or(MetadataError::NotFound)?;
    Ok((tx, connection))
}

/// The new version.
async fn write_connection(tx: &mut Tx, connection: &Connection, now: Timestamp) -> Result<i64, MetadataError> {
    db::connection::update_connection(tx, connection, now).await?.ok_or(MetadataError::Meanwhile)
}

/// Certificates that the metadata brings. One that an owner retired is known: it is neither trusted nor proposed again.
fn fresh<'a>(known: &[IdpCertificateRow], metadata: &'a IdpMetadata, now: Timestamp, changes: &mut Changes) -> Vec<&'a Certificate> {
    let mut fresh = Vec::new();
    for new in &metadata.certificates {
        let fingerprint = || new.fingerprint().to_owned();
        match certificate::named(known, new) {
            Named::Trusted => {}
            Named::Retired => changes.certificates_retired.push(fingerprint()),
            Named::Unknown if new.not_after() <= now => changes.certificates_expired.push(fingerprint()),
            Named::Unknown => fresh.push(new),
        }
    }
    fresh
}

fn missing(known: &[IdpCertificateRow], metadata: &IdpMetadata) -> Vec<String> {
    let named = |row: &&IdpCertificateRow| metadata.certificates.iter().any(|new| new.fingerprint() == row.fingerprint);
    let trusted = known.iter().filter(|row| row.state != CertificateState::Retired);
    trusted.filter(|row| !named(row)).map(|row| row.fingerprint.clone()).collect()
}

async fn add_certificates(
    tx: &mut Tx,
    occasion: &mut Occasion,
    connection: &Connection,
    document: &Document,
    by: Option<AccountId>,
    changes: &mut Changes,
) -> Result<(), TrustError> {
    let known = db::certificate::list_certificates(&mut *tx, connection.tenant, connection.id).await?;
    changes.certificates_missing = missing(&known, &document.metadata);
    for certificate in fresh(&known, &document.metadata, occasion.now, changes) {
        let (row, _) = certificate::trust(tx, occasion, connection, certificate, by).await?;
        changes.certificates_added.push(row.fingerprint);
    }
    Ok(())
}

/// Open proposals that the metadata no longer makes are withdrawn; new ones are written and told. Which are new.
async fn settle_proposals(
    tx: &mut Tx,
    occasion: &mut Occasion,
    connection: &Connection,
    document: &Document,
    proposals: &[ProposalRow],
    by: Option<AccountId>,
) -> Result<Vec<String>, DbError> {
    let (tenant, id) = (connection.tenant, connection.id);
    let same = |a: &ProposalRow, b: &ProposalRow| (a.what, &a.key) == (b.what, &b.key);
    let mut open = 0;
    for old in &idp_metadata::list_open_proposals(tx, tenant, id).await? {
        if proposals.iter().any(|new| same(new, old)) {
            open += 1;
        } else {
            let taken_over = document.metadata.certificates.iter().any(|new| new.fingerprint() == old.key);
            let state = if taken_over { ProposalState::Accepted } else { ProposalState::Withdrawn };
            idp_metadata::decide(tx, tenant, id, old.id, state, by, occasion.now).await?;
        }
    }
    let opened = idp_metadata::propose(tx, tenant, id, proposals).await?;
    let is_new = |row: &&ProposalRow| opened.contains(&(row.what, row.key.clone()));
    let keys: Vec<_> = proposals.iter().filter(is_new).map(|row| row.key.clone()).collect();
    if !keys.is_empty() {
        let message = "the identity provider's metadata names something new: look at it, and accept or decline it";
        let detail = json!({ "message": message, "proposed": keys });
        db::attention::raise(tx, tenant, occasion, PROPOSED, Some(id), None, &detail).await?;
    } else if open == 0 {
        db::attention::resolve_kind(tx, tenant, PROPOSED, id, occasion.now).await?;
    }
    Ok(keys)
}

/// Addresses that the metadata names otherwise. One that it no longer names stays.
fn address_changes(saml: &SamlSettings, metadata: &IdpMetadata) -> Vec<AddressChange> {
    let pairs = [
        (What::SsoUrl, &saml.sso_url, &metadata.sso_redirect_url),
        (What::SsoPostUrl, &saml.sso_post_url, &metadata.sso_post_url),
        (What::SloRedirectUrl, &saml.slo_redirect_url, &metadata.slo_redirect_url),
        (What::SloPostUrl, &saml.slo_post_url, &metadata.slo_post_url),
    ];
    let changed = pairs.into_iter().filter(|(_, before, after)| after.is_some() && before != after);
    changed.filter_map(|(what, before, after)| Some(AddressChange { what, before: before.clone(), after: after.clone()? })).collect()
}

/// Certificates are rows of their own.
fn take_over(saml: &mut SamlSettings, what: What, value: &str) {
    let address = Some(value.to_owned());
    match what {
        What::SsoUrl => saml.sso_url = address,
        What::SsoPostUrl => saml.sso_post_url = address,
        What::SloRedirectUrl => saml.slo_redirect_url = address,
        What::SloPostUrl => saml.slo_post_url = address,
        What::SignedRequests => saml.idp_wants_signed_requests = value == "true",
        What::Certificate => {}
    }
}

/// As often as the document says, at least daily, and an hour before it ends.
fn next_reading(now: Timestamp, metadata: &IdpMetadata) -> Timestamp {
    let due = now.plus_secs(metadata.cache_secs().unwrap_or(DAY_SECS).min(DAY_SECS));
    let due = metadata.valid_until.map_or(due, |end| due.min(end.plus_secs(-3600)));
    due.max(now.plus_secs(LEAST_SECS))
}

/// Ten minutes, twenty, forty …, at most a day.
fn retry_after_secs(failures: i64) -> i64 {
    let doubled = u32::try_from(failures.clamp(1, 9) - 1).unwrap_or(0);
    (LEAST_SECS << doubled).min(DAY_SECS)
}

async fn record(
    tx: &mut Tx,
    occasion: &mut Occasion,
    connection: &Connection,
    action: &'static str,
    detail: &serde_json::Value,
) -> Result<(), DbError> {
    let entry = Entry { action, target_kind: "connection", target_id: connection.id.to_string(), detail: detail.clone() };
    db::audit::tell(tx, connection.tenant, occasion, &[entry]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saml::issuer::IssuerKey;

    fn metadata(cache: Option<&str>, valid_secs: Option<i64>, now: Timestamp) -> IdpMetadata {
        let key = IssuerKey::ec("idp.example", now).unwrap();
        let mut metadata = IdpMetadata::parse(key.metadata("idp", "https://idp.example/sso").as_bytes()).unwrap();
        metadata.cache_duration = cache.map(str::to_owned);
        metadata.valid_until = valid_secs.map(|secs| now.plus_secs(secs));
        metadata
    }

    #[test]
    fn metadata_is_read_as_often_as_it_says_and_at_least_daily() {
        let now = Timestamp::from_millis(1_772_500_000_000);
        let after = |cache, valid| (next_reading(now, &metadata(cache, valid, now)).millis() - now.millis()) / 1000;
        assert_eq!(after(None, None), DAY_SECS);
        assert_eq!(after(Some("PT1H"), None), 3600);
        assert_eq!(after(Some("P1Y2M3DT4H"), None), DAY_SECS);
        assert_eq!(after(Some("PT1S"), None), LEAST_SECS);
        assert_eq!(after(Some("soon"), None), DAY_SECS);
        assert_eq!(after(None, Some(7200)), 3600);
        assert_eq!(after(Some("-PT5M"), Some(10)), LEAST_SECS);
    }

    #[test]
    fn failures_are_tried_again_later_each_time() {
        let secs: Vec<_> = [1, 2, 3, 8, 9, 500].map(retry_after_secs).into();
        assert_eq!(secs, [600, 1200, 2400, 76_800, DAY_SECS, DAY_SECS]);
    }
}

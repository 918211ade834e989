//! By what the two protocols find the same person, and what follows when it changes.

use serde_json::{Map, Value, json};

use super::{ProvisionError, Published, reconcile::Person, record::Record};
use crate::{
    db::{
        self, DbError, Tx,
        correlation::CorrelatedBy,
        identity::{IdentityRow, ScimKeys},
    },
    domain::{
        connection::{Connection, Correlation},
        id::AccountId,
    },
    scim::resource::User,
};

/// Whoever looks for a person by what sign-ins find them by, to make one or to give one a new name, looks alone.
pub(super) async fn take_turn(tx: &mut Tx, connection: &Connection, keys: &[String]) -> Result<(), DbError> {
    db::turn::take(tx, connection.tenant, connection.id, keys).await
}

/// Of whom a sign-in by this value means there is one at most, or nobody could sign in by it any more. `account`: who shall have it.
/// The caller has the turn of the value.
pub(super) async fn check_correlated(
    tx: &mut Tx,
    published: &Published,
    account: Option<AccountId>,
    keys: &ScimKeys,
) -> Result<(), ProvisionError> {
    let connection = &published.connection;
    let Some(key) = signs_in_by(connection, keys) else { return Ok(()) };
    let by = correlated_by(connection);
    let taken = db::correlation::is_correlated_elsewhere(tx, connection.tenant, connection.id, account, (by, &key)).await?;
    if taken { Err(ProvisionError::Taken(by.as_str())) } else { Ok(()) }
}

/// Whether the correlated SCIM attribute is another one.
pub(super) fn is_renamed(connection: &Connection, before: &ScimKeys, after: &ScimKeys) -> bool {
    correlation_key(connection, before) != correlation_key(connection, after)
}

/// Releases the subject of somebody who was renamed: the next sign-in by the new name links another one. Whether there was a subject.
pub(super) fn release_subject(person: &mut Person, published: &Published, record: &mut Record) -> bool {
    person.identity.renamed = true;
    if person.identity.subject.take().is_none() {
        return false;
    }
    if let Some(facts) = &mut person.identity.saml {
        facts.correlation_key = None;
    }
    record.note("identity.subject_released", "account", &person.identity.account, json!({ "connection": published.connection.id }));
    true
}

/// Under what a resource is found.
pub(super) fn keys(user: &User) -> ScimKeys {
    let emails = user.attributes.get("emails").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    ScimKeys {
        user_name: text(&user.attributes, "userName").unwrap_or_default().to_owned(),
        external_id: text(&user.attributes, "externalId").map(str::to_owned),
        display_name: text(&user.attributes, "displayName").map(str::to_owned),
        emails: emails.iter().filter_map(|email| email.get("value")?.as_str()).map(str::to_owned).collect(),
    }
}

/// As [`keys`], of a row that has a resource.
pub(super) fn keys_of(identity: &IdentityRow) -> Option<ScimKeys> {
    identity.scim.as_ref().map(|facts| keys(&User { attributes: facts.document.clone() }))
}

/// By what the two protocols find the same person: the connection's pair, or userName and NameID.
pub(super) fn correlated_by(connection: &Connection) -> CorrelatedBy {
    match &connection.saml.correlate {
        Some(Correlation { scim, .. }) if scim == "externalId" => CorrelatedBy::ExternalId,
        _ => CorrelatedBy::UserName,
    }
}

/// A value of either side of the correlation as its attribute compares (RFC 7643: userName without case, externalId with). Names that
/// [`crate::domain::name::fold`] makes equal besides, because people cannot tell them apart, are names of different people here.
pub(super) fn correlating(by: CorrelatedBy, value: &str) -> String {
    match by {
        CorrelatedBy::UserName => value.to_lowercase(),
        CorrelatedBy::ExternalId => value.to_owned(),
    }
}

/// The SCIM side of the correlation.
pub(super) fn correlation_key(connection: &Connection, keys: &ScimKeys) -> Option<String> {
    let by = correlated_by(connection);
    let value = match by {
        CorrelatedBy::UserName => Some(keys.user_name.as_str()),
        CorrelatedBy::ExternalId => keys.external_id.as_deref().filter(|id| !id.is_empty()),
    };
    value.map(|value| correlating(by, value))
}

/// As [`correlation_key`], where anybody signs in by it.
pub(super) fn signs_in_by(connection: &Connection, keys: &ScimKeys) -> Option<String> {
    connection.saml.enabled.then(|| correlation_key(connection, keys)).flatten()
}

pub(super) fn text<'d>(document: &'d Map<String, Value>, name: &str) -> Option<&'d str> {
    document.get(name)?.as_str()
}

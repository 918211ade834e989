//! Reads metadata from the address that an owner named, and says in words what is wrong with it.

use url::Url;

use super::{Changes, Document, MetadataError, note_failure, refresh};
use crate::{
    db::{Db, DbError, idp_metadata::MetadataRow},
    domain::actor::Occasion,
    outbound::{Outbound, OutboundError},
    saml,
};

/// More than any identity provider's own metadata; that of a federation is refused.
const MAX_BYTES: usize = 2 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ReadingError {
    #[error("{0:?} is not an address: an https address was expected")]
    Address(String),
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error(transparent)]
    Unreadable(#[from] saml::MetadataError),
    #[error("the document could not be read")]
    Broken(#[source] tokio::task::JoinError),
}

impl ReadingError {
    /// With its cause, on one line.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Unreadable(error) => words(error),
            other => other.to_string(),
        }
    }
}

/// An error of the document with its cause.
#[must_use]
pub fn words(error: &saml::MetadataError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |why| format!("{error}: {why}"))
}

/// The document at an address.
pub async fn fetch(outbound: &Outbound, url: &str) -> Result<Document, ReadingError> {
    let url = Url::parse(url).map_err(|_| ReadingError::Address(url.chars().take(200).collect()))?;
    parse(outbound.get(&url, MAX_BYTES).await?).await
}

/// Off the threads that serve requests: a document of 2 MiB takes its time.
pub async fn parse(bytes: Vec<u8>) -> Result<Document, ReadingError> {
    Ok(tokio::task::spawn_blocking(move || Document::parse(&bytes)).await.map_err(ReadingError::Broken)??)
}

/// Reads one now and takes over what may be; what is wrong with it is written down beside it, and returned in words.
pub async fn read(db: &Db, outbound: &Outbound, row: &MetadataRow, occasion: &mut Occasion) -> Result<Result<Changes, String>, DbError> {
    let why = match fetch(outbound, row.url.as_deref().unwrap_or_default()).await {
        Ok(document) => match refresh(db, occasion, row, &document).await {
            Ok(changes) => return Ok(Ok(changes)),
            Err(MetadataError::Db(error)) => return Err(error),
            Err(error) => error.to_string(),
        },
        Err(error) => error.words(),
    };
    tracing::warn!(connection.id = %row.connection, why, "the metadata of an identity provider was not taken over");
    note_failure(db, occasion, row, &why).await?;
    Ok(Err(why))
}

//! Fetches the identity providers' metadata that a tenant file names, before any transaction is open.

use std::{fs, io, path::Path};

use super::Failure;
use crate::{
    admin::{
        plan::Metadata,
        tenant_file::{At, MetadataSource, TenantFile},
    },
    outbound::Outbound,
    saml::IdpMetadata,
};

/// More than any identity provider's own metadata; that of a federation is refused.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Addresses are fetched as the gateway fetches those that owners enter: within bounds, and not from the network it stands in.
pub(super) async fn fetch_all(file: &TenantFile, outbound: &Outbound) -> Result<Metadata, Failure> {
    let mut found = Metadata::new();
    for connection in &file.connections {
        if let Some(source) = &connection.idp_metadata {
            let bytes = match &source.value {
                MetadataSource::File(path) => fs::read(path).map_err(|error| refuse(source, unreadable(path, &error)))?,
                MetadataSource::Url(url) => {
                    outbound.get(url, MAX_BYTES).await.map_err(|error| refuse(source, format!("{url}: {error}")))?
                }
            };
            let metadata = IdpMetadata::parse(&bytes).map_err(|error| refuse(source, Failure::from(error).message().to_owned()))?;
            for unusable in &metadata.unusable {
                tracing::warn!(connection.name = %connection.slug.value, "a certificate in the metadata cannot be used: {unusable}");
            }
            found.insert(connection.slug.value.clone(), metadata);
        }
    }
    Ok(found)
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    let why = "save the identity provider's metadata there, or correct the path, which is relative to this file";
    format!("{} cannot be read ({error}): {why}", path.display())
}

fn refuse(source: &At<MetadataSource>, why: String) -> Failure {
    source.place.refuse(why).into()
}

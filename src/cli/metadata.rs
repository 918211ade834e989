//! Fetches the identity providers' metadata that a tenant file names, before any transaction is open.

use std::{fs, io, path::Path, time::Duration};

use super::Failure;
use crate::{
    admin::{
        plan::Metadata,
        tenant_file::{At, MetadataSource, TenantFile},
    },
    saml::IdpMetadata,
};

/// More than any identity provider's own metadata; that of a federation is refused.
const MAX_BYTES: usize = 2 * 1024 * 1024;

pub(super) async fn fetch_all(file: &TenantFile) -> Result<Metadata, Failure> {
    let mut found = Metadata::new();
    for connection in &file.connections {
        if let Some(source) = &connection.idp_metadata {
            let bytes = match &source.value {
                MetadataSource::File(path) => fs::read(path).map_err(|error| refuse(source, unreadable(path, &error)))?,
                MetadataSource::Url(url) => fetch(url).await.map_err(|error| refuse(source, format!("{url}: {error}")))?,
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

async fn fetch(url: &url::Url) -> Result<Vec<u8>, String> {
    let words = |error: reqwest::Error| Failure::from(error.without_url()).message().to_owned();
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("rolegate/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(words)?;
    let mut response = client.get(url.clone()).send().await.map_err(words)?;
    if !response.status().is_success() {
        return Err(format!("the answer was {}", response.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(words)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_BYTES {
            return Err("the answer is longer than 2 MiB".to_owned());
        }
    }
    Ok(bytes)
}

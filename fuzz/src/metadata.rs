//! Metadata of an identity provider: any bytes are read or refused, and what is read can be used.

use rolegate::saml::IdpMetadata;

pub fn run(bytes: &[u8]) {
    if let Ok(read) = IdpMetadata::parse(bytes) {
        assert!(!read.entity_id.is_empty() && !read.certificates.is_empty());
        let _ = read.cache_secs();
        assert!(read.sso_redirect_url.is_some() || read.sso_post_url.is_some());
    }
}

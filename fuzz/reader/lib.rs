//! The product's own files, compiled alone.

#[path = "../../src/domain/mod.rs"]
pub mod domain;
#[path = "../../src/saml/mod.rs"]
pub mod saml;

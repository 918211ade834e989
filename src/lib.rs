//! rolegate: a SCIM and SAML-JIT provisioning gateway with role mapping.
//!
//! ```text
//! main, cli, app → http → admin, provision → db → policy → scim, saml → domain
//! ```
//!
//! Arrows point downward only; `tests/layers.rs` keeps it so. `policy` stands above `scim` because the
//! SCIM filter is the language of rules: one parser serves API filters, PATCH paths and conditions.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod db;
pub mod domain;
pub mod keys;
pub mod policy;
pub mod provision;
pub mod saml;
pub mod scim;

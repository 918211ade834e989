//! rolegate: a SCIM and SAML-JIT provisioning gateway with role mapping.
//!
//! ```text
//! main, cli, app → http → admin, provision → db → policy → scim, saml → domain
//! ```
//!
//! A module may use only modules to its right; a test reads the imports and checks it. `policy` may use `scim` because rules are
//! SCIM filters: one parser serves API filters, PATCH paths and conditions. `app`, `config`, `keys`, `log` and `jobs` are wiring.
//!
//! Decisions that are hard to undo have a page each in `docs/adr`.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod db;
pub mod dns;
pub mod domain;
pub mod http;
pub mod jobs;
pub mod keys;
pub mod log;
pub mod outbound;
pub mod policy;
pub mod provision;
pub mod saml;
pub mod scim;

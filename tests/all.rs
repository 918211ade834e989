//! Every integration test, in one binary: one link, one migrated template of the database.

#![expect(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod admin;
mod api;
mod authz;
mod cli;
mod common;
mod containers;
mod demo;
mod end_to_end;
mod layers;
mod organizations;
mod presets;
mod provision;
mod requirements;
mod saml;
mod scim;
mod shell;
mod store;

//! Every integration test, in one binary: one link, one migrated template of the database.

#![expect(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod admin;
mod common;
mod layers;
mod scim;
mod shell;
mod store;

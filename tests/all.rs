//! Every integration test, in one binary: one link, one migrated template of the database.

mod admin;
mod common;
mod layers;
mod store;

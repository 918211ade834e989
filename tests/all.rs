//! Every integration test, in one binary: one link, one migrated template of the database.

mod common;
mod layers;
mod scim;
mod store;

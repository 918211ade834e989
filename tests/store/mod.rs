//! The store on both engines.

mod access;
mod chain;
mod check;
mod connections;
mod domains;
mod migrations;
mod once;
mod scim;
mod tenants;
mod transaction;
mod world;

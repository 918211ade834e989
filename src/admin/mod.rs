//! Use cases of people: what the operator of the host and the owners do. They load, ask `policy`, write and audit, in one transaction.
//!
//! Refuses to know how somebody asked: no HTTP, no terminal.

pub mod tenant_file;

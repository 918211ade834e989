//! Use cases of people: what the operator of the host and the owners do. They load, ask `policy`, write and audit, in one transaction.
//!
//! Refuses to know how somebody asked: no HTTP, no terminal.

pub mod apply;
pub mod attribute_schema;
pub mod certificate;
pub mod change;
pub mod current;
pub mod discovery;
pub mod event_feed;
pub mod listing;
pub mod logout;
pub mod metadata;
pub mod oauth_client;
pub mod own_keys;
pub mod plan;
pub mod provisioning_log;
pub mod recover;
pub mod rewrap;
pub mod session;
pub mod session_rights;
pub mod sign_in_link;
pub mod sign_in_log;
pub mod sp_key;
pub mod tenant_file;
pub mod test_sign_in;
pub mod trusted;
pub mod warning;
pub mod why;

//! Use cases of people: what the operator of the host and the owners do. They load, ask `policy`, write and audit, in one transaction.
//!
//! Refuses to know how somebody asked: no HTTP, no terminal.

pub mod apply;
pub mod assign;
pub mod attribute_schema;
pub mod certificate;
pub mod change;
pub mod check;
pub mod connection_use;
pub mod current;
pub mod discovery;
pub mod domain;
pub mod event_feed;
pub mod listing;
pub mod logout;
pub mod member;
pub mod metadata;
pub mod model_change;
pub mod oauth_client;
pub mod organization;
pub mod organization_settings;
pub mod own_keys;
pub mod person;
pub mod plan;
pub mod preset_upgrade;
pub mod provisioning_log;
pub mod recover;
pub mod rewrap;
pub mod role;
pub mod role_use;
pub mod scope;
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

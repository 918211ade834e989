//! The values everything else speaks of. Pure: no `async`, no clock, no SQL, no HTTP.

pub mod account;
pub mod actor;
pub mod assignment;
pub mod capability;
pub mod catalogue;
pub mod connection;
pub mod domain_name;
pub mod id;
pub mod identity;
pub mod model;
pub mod name;
pub mod network;
pub mod organization;
pub mod organization_settings;
pub mod rate;
pub mod role;
pub mod secret;
pub mod text;
pub mod time;

//! The SCIM engine (RFC 7643, RFC 7644), pure: bytes and values in, typed values out.
//!
//! One strict engine that knows the schema (`schema`, `filter`, `path`, `resource`, `group`, `patch`), and in front of it
//! `normalise`, which turns the habits of identity providers into what the RFCs say. No status codes, no storage, no clock.

pub mod bulk;
pub mod cursor;
pub mod custom;
pub mod discovery;
pub mod error;
pub mod event;
pub mod filter;
pub mod group;
mod json;
pub mod list;
pub mod normalise;
pub mod patch;
pub mod path;
pub mod project;
pub mod resource;
pub mod role;
pub mod schema;
pub mod sort;
pub mod unique;
mod value;

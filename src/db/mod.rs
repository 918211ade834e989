//! The only layer with SQL. One file per family of tables; functions take a [`Tx`] where they write, a [`Db`] where they read.

pub mod account;
pub mod activity;
pub mod assignment;
pub mod attention;
pub mod audit;
pub mod certificate;
mod column;
pub mod connection;
pub mod counter;
pub mod custom_schema;
pub mod directory;
pub mod engine;
pub mod expiry_alert;
pub mod filter;
pub mod group;
pub mod identity;
pub mod installation;
pub mod listing;
pub mod mapping;
mod migrate;
pub mod model;
pub mod oauth;
pub mod organization;
pub mod pick;
pub mod provisioning_log;
pub mod role;
pub mod seal;
pub mod session;
pub mod sign_in;
pub mod sp_key;
pub mod tenant;
pub mod token;

pub use engine::{Db, DbError, PoolSize, SET_LIMIT, Target, Tx};

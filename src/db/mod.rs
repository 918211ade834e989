//! The only layer with SQL. One file per family of tables; functions take a [`Tx`] where they write, a [`Db`] where they read.

pub mod account;
pub mod assignment;
mod column;
pub mod engine;
pub mod group;
pub mod identity;
mod migrate;

pub use engine::{Db, DbError, PoolSize, SET_LIMIT, Tx};

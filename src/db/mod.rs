//! The only layer with SQL. One file per family of tables; functions take a [`Tx`] where they write, a [`Db`] where they read.

pub mod engine;
mod migrate;

pub use engine::{Db, DbError, PoolSize, SET_LIMIT, Tx};

//! Who gets where: every route of the router's own table, and every role of every preset at what an owner alone may do.

mod certificates;
mod keys;
mod matrix;
mod metadata;
pub mod people;
pub mod routes;
mod sessions;
pub mod things;
mod worlds;

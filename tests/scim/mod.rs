//! SCIM as clients see it, on both engines. Each file is named after the addresses it calls.

mod bulk;
mod callers;
mod concurrent;
mod constant;
mod crowd;
mod discovery;
mod groups;
mod habits;
mod lists;
mod names;
mod oauth;
mod operations;
mod pages;
mod random;
mod roles;
mod users;

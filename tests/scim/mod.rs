//! SCIM as clients see it, on both engines. Each file is named after the addresses it calls.

mod callers;
mod users;

//! Decisions, pure: values in, values out. What an identity should hold (`mapping`), what that changes (`diff`), what binds
//! even an owner (`invariant`), who may act (`access`), and the role systems that come with the product (`preset`).
//!
//! Refuses to know where the values come from: no clock, no ids made here, no SQL, no HTTP.

pub mod access;
pub mod action;
pub mod assigning;
pub mod ceiling;
pub mod check;
pub mod desired;
pub mod diff;
#[cfg(test)]
pub(crate) mod fixture;
pub mod inheritance;
pub mod invariant;
pub mod managed;
pub mod mapping;
pub mod permission;
pub mod places;
pub mod preset;
#[cfg(test)]
mod properties;
pub mod role_change;
pub mod rule;
pub mod session_rights;
pub mod template;
pub mod upgrade;

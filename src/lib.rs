//! rolegate: a SCIM and SAML-JIT provisioning gateway with role mapping.
//!
//! ```text
//! main, cli, app → http → admin, provision → db → policy → scim, saml → domain
//! ```
//!
//! Arrows point downward only; a test reads the imports and keeps it so. `policy` stands above `scim` because the SCIM filter is
//! the language of rules: one parser serves API filters, PATCH paths and conditions. `app`, `config`, `keys` and `jobs` are wiring.
//!
//! # Decisions that are hard to undo, and why
//!
//! - **Provenance.** An assignment is there because of its origins, and gone with the last of them. A sync adds and removes only
//!   origins of its own connection; so no grant by hand is lost and two identity providers never fight over a role.
//! - **Facts, then effects.** An identity provider writes facts; what follows from them is computed (`policy::mapping`), compared
//!   (`policy::diff`) and written (`provision`) in the transaction that took the facts. Effects can so be previewed and explained.
//! - **The id of a SCIM User is the id of the account.** An account that a first sign-in made can be adopted by a later POST
//!   without a change of id.
//! - **`may_delegate` belongs to the origin, not to the assignment.** The right to pass a role on leaves with the grant that gave it.
//! - **One account, one profile.** The connection that made an account names it; a second one adds grants, not another name.
//! - **One SQL text for two engines** (`db::engine`), and SQLite as the double of PostgreSQL in no test: every store test runs on both.
//! - **Membership is rows.** Nothing loads a group to change a member, so adding one costs the same at 10 and at 50,000 members.
//! - **Numbers and seals come after the commit** (`db::seal`): a chain written inside the transaction would make all writers of a
//!   tenant wait for one another.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod db;
pub mod dns;
pub mod domain;
pub mod http;
pub mod jobs;
pub mod keys;
pub mod outbound;
pub mod policy;
pub mod provision;
pub mod saml;
pub mod scim;

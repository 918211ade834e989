//! The core on both engines: facts go in by SCIM and by SAML, and what accounts hold, and why, comes out.

mod dormancy;
mod histories;
mod jobs;
mod newcomers;
mod races;
mod refusals;
mod scenarios;
mod story;
mod takeover;

//! The binary as people run it, against software that this project did not write: scim2-tester, pysaml2 and samlp (`tests/peers`).

mod api;
mod gateway;
mod peers;
mod saml;
mod scim;

//! What each preset must show, through the product's own doors.

mod bulk;
mod ceiling;
mod dashboard;
mod delegated_user_management;
pub mod house;
mod idaas;
mod org_admin;
mod owner_member;
mod reach;
mod rules;
mod upgrade;

mod accepted;
mod account;
mod house;
mod link;
mod metadata;
mod refused;
mod replay;
mod session;

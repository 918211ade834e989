mod accepted;
mod account;
mod bounded;
mod clocks;
mod corpus;
mod documented;
mod encrypted;
mod expired;
mod former_session;
#[expect(
    clippy::assigning_clones,
    clippy::items_after_statements,
    clippy::semicolon_if_nothing_returned,
    clippy::type_complexity,
    reason = "a table of alterations: each line reads as what it does"
)]
mod hostile;
mod house;
mod link;
mod logout;
mod metadata;
mod nodes;
mod recalled;
mod refused;
mod replay;
mod requests;
mod rotation;
mod session;
mod surface;
mod test_sign_in;
mod unanswered;

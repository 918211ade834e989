//! The one answer to every refused sign-in. It says nothing of the reason; its reference number leads an admin to the row of the log that
//! says it in words.

use axum::{http::StatusCode, response::Response};

use crate::{
    app::App,
    db::sign_in::{SignInLogRow, SignInOutcome, Why},
    domain::{
        actor::Occasion,
        connection::Connection,
        id::{AccountId, EventId},
    },
    http::page::{self, Message},
    saml,
};

/// Where a sign-in ended, and why, in words for an admin. No name or attribute of a person is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInRefusal {
    pub step: &'static str,
    pub message: String,
    pub why: Why,
    pub account: Option<AccountId>,
}

impl SignInRefusal {
    pub fn new(step: &'static str, message: impl Into<String>) -> Self {
        Self { step, message: message.into(), why: Why { code: Some(step.to_owned()), ..Why::default() }, account: None }
    }

    /// It held when it was verified, and no longer when its turn came in the database.
    pub fn too_late(message: &str) -> Self {
        let why = Why { code: Some("expired".to_owned()), cure: Some("sign in afresh".to_owned()), ..Why::default() };
        Self { why, ..Self::new("conditions", message) }
    }
}

impl From<saml::Refusal> for SignInRefusal {
    fn from(refusal: saml::Refusal) -> Self {
        let why = Why {
            code: Some(refusal.code().to_owned()),
            expected: refusal.expected.clone(),
            got: refusal.got.clone(),
            cure: refusal.cure.map(str::to_owned),
        };
        Self { why, ..Self::new(refusal.step.as_str(), refusal.to_string()) }
    }
}

/// Writes the reason where admins read it, and answers.
pub fn refuse(app: &App, connection: &Connection, occasion: &mut Occasion, refusal: SignInRefusal) -> Response {
    let id: EventId = occasion.ids.make();
    tracing::info!(
        connection.id = %connection.id,
        reference = %id,
        step = refusal.step,
        reason = refusal.message.as_str(),
        "a sign-in was refused"
    );
    let row = SignInLogRow {
        id,
        connection: connection.id,
        at: occasion.now,
        outcome: SignInOutcome::Refused,
        step: Some(refusal.step.to_owned()),
        message: refusal.message,
        why: refusal.why,
        account: refusal.account,
    };
    app.sign_in_log.note(connection.tenant, row);
    app.committed.notify_one();
    let lines = ["Your sign-in was not accepted. Please begin again; if it stays so, tell your administrator this reference number."];
    page::respond(StatusCode::FORBIDDEN, &Message { title: "Sign-in refused", lines: &lines, reference: Some(id.to_string()) })
}

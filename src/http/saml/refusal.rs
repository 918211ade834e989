//! The one answer to every refused sign-in. It says nothing of the reason; its reference number leads an admin to the row of the log that
//! says it in words.

use axum::{http::StatusCode, response::Response};

use crate::{
    admin::sign_in_log::Cause,
    app::App,
    db::sign_in::{SignInLogRow, SignInOutcome, Why},
    domain::{
        actor::Occasion,
        connection::Connection,
        id::{AccountId, EventId},
    },
    http::{
        client::Stranger,
        page::{self, Message},
    },
    saml,
};

/// Where a sign-in ended, and why, in words for an admin. No name or attribute of a person is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInRefusal {
    pub step: &'static str,
    pub message: String,
    pub why: Why,
    pub account: Option<AccountId>,
    /// The message was genuine and is used up: it cannot be sent again to be refused again.
    pub is_used_up: bool,
}

impl SignInRefusal {
    pub fn new(step: &'static str, message: impl Into<String>) -> Self {
        Self { step, message: message.into(), why: Why { code: Some(step.to_owned()), ..Why::default() }, account: None, is_used_up: false }
    }

    /// A refusal of a message that this refusal uses up.
    #[must_use]
    pub fn using_up(self) -> Self {
        Self { is_used_up: true, ..self }
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
pub fn refuse(app: &App, connection: &Connection, occasion: &mut Occasion, refusal: SignInRefusal, client: Option<Stranger>) -> Response {
    let id: EventId = occasion.ids.make();
    let (step, reason) = (refusal.step, refusal.message.clone());
    let cause = if refusal.is_used_up { Cause::IdentityProvider } else { Cause::Anybody(client.map(Stranger::address)) };
    let row = SignInLogRow {
        id,
        connection: connection.id,
        at: occasion.now,
        outcome: SignInOutcome::Refused,
        step: Some(refusal.step.to_owned()),
        message: refusal.message,
        why: refusal.why,
        account: refusal.account,
        occurrences: 1,
        last_at: occasion.now,
    };
    let reference = app.sign_in_log.note_refusal(connection.tenant, row, cause);
    tracing::info!(connection.id = %connection.id, %reference, step, reason, "a sign-in was refused");
    // A row that counts refusals is written in the next round of the jobs: a flood does not wake them.
    if reference == id {
        app.committed.notify_one();
    }
    let lines = ["Your sign-in was not accepted. Please begin again; if it stays so, tell your administrator this reference number."];
    page::respond(StatusCode::FORBIDDEN, &Message { title: "Sign-in refused", lines: &lines, reference: Some(reference.to_string()) })
}

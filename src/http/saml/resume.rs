//! Sign-ins whose commit the database did not answer. The browser is told to try again and sends the same response, which is used up if
//! the commit succeeded: it is answered with the session that was opened then.
//!
//! The secret of a session is made from the one that the browser got with its request ([`crate::keys::Keys::session_secret`]): nobody else
//! finds the session. A browser that got an answer has no such secret any more.

use super::{
    admit::{Admitted, Outcome},
    refusal::SignInRefusal,
};
use crate::{
    app::App,
    db::{
        DbError, session,
        sign_in::{LogFilter, SignInLogRow, SignInOutcome, Why, search_sign_in_log},
    },
    domain::{actor::Occasion, connection::Connection, secret::Secret, time::Timestamp},
    keys,
    saml::Assertion,
};

/// How long a browser may take to send its response again.
const RESENT_WITHIN_SECS: i64 = 300;
/// The step of the log's entry. It has the time of the session.
const STEP: &str = "commit";

/// Writes into the log of sign-ins that one was not answered.
pub(super) fn note(app: &App, connection: &Connection, occasion: &mut Occasion) {
    let row = SignInLogRow {
        id: occasion.ids.make(),
        connection: connection.id,
        at: occasion.now,
        outcome: SignInOutcome::Refused,
        step: Some(STEP.to_owned()),
        message: "the database did not answer the commit: the session may have been opened".to_owned(),
        why: Why {
            code: Some("may_be_written".to_owned()),
            cure: Some("send the same form again from the same browser, or sign in again".to_owned()),
            ..Why::default()
        },
        account: None,
        occurrences: 1,
        last_at: occasion.now,
    };
    app.sign_in_log.note(connection.tenant, row);
}

/// The answer to an assertion that is used up.
pub(super) async fn answer(
    app: &App,
    connection: &Connection,
    assertion: &Assertion,
    secret: Secret<String>,
    now: Timestamp,
) -> Result<Outcome, DbError> {
    let replay = || Outcome::Refused(SignInRefusal::new("replay", "the assertion was used before"));
    let found = session::find_session(&app.db, &keys::hash(secret.expose()), now).await?;
    let found = found.filter(|session| session.tenant == connection.tenant && session.connection == Some(connection.id));
    let Some(session) = found.filter(|session| session.created_at.plus_secs(RESENT_WITHIN_SECS) > now) else { return Ok(replay()) };
    // The entry may wait in memory.
    app.sign_in_log.flush(&app.db).await?;
    let (since, until) = (Some(session.created_at), Some(Timestamp::from_millis(session.created_at.millis() + 1)));
    let filter = LogFilter { outcome: Some(SignInOutcome::Refused), step: Some(STEP.to_owned()), since, until, ..LogFilter::default() };
    if search_sign_in_log(&app.db, connection.tenant, connection.id, &filter, None, 1).await?.is_empty() {
        return Ok(replay());
    }
    Ok(Outcome::Admitted(Admitted {
        account: session.account,
        created: false,
        secret,
        expires_at: session.expires_at,
        return_to: None,
        answered: assertion.in_response_to.clone(),
        verified_with: assertion.verified_with,
        decrypted_with: assertion.decrypted_with,
    }))
}

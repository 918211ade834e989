//! Where responses of identity providers arrive. Each step refuses before the next one may cost anything: form, connection, certificates,
//! signature and conditions (`verify`), then one transaction (`admit`), then the session's cookie and a redirect.

use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    admit::{self, Admitted, Outcome},
    browser, find_enabled,
    form::{self, AcsForm, FormError},
    refusal::{SignInRefusal, refuse},
    test,
    verify::verify,
};
use crate::{
    app::App,
    db::{
        DbError,
        sign_in::{SignInLogRow, SignInOutcome, Why},
    },
    domain::{
        actor::{Actor, Occasion},
        connection::Connection,
    },
    http::{
        caller::{request_id, session},
        client::Stranger,
        error::Problem,
        local_path::LocalPath,
        page,
    },
};

/// How often a response is judged because the connection changed meanwhile.
const ATTEMPTS: u32 = 3;

/// Why there is no session: a refusal, or something that is not the response's fault.
#[derive(Debug)]
pub enum Failure {
    Refused(SignInRefusal),
    Broken(Problem),
}

impl From<SignInRefusal> for Failure {
    fn from(refusal: SignInRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<E: Into<Problem>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

pub async fn post(State(app): State<App>, Path(slug): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let begun = match test::find_begun(&app, &slug, &parts.headers).await {
        Ok(begun) => begun,
        Err(error) => return page::failed(error.into()),
    };
    let enabled = match recall(&app, &slug).await {
        Ok(enabled) => enabled,
        Err(error) => return page::failed(error.into()),
    };
    let asked = begun.as_ref().map(|(connection, _)| connection).or(enabled.as_ref().map(|enabled| &enabled.connection));
    let Some(asked) = asked else { return page::not_found() };
    if let Err(off) = app.check_clock() {
        return page::failed(Problem::unavailable(off.to_string()));
    }
    let client = Stranger::of(&parts, &app.config.trusted_proxies);
    let Ok(mut held) = app.intake.enter(asked.id, client) else { return page::failed(full()) };
    let form = match form::read(&parts.headers, body, &mut held).await {
        Ok(form) => Ok(form),
        Err(FormError::Refused(message)) => Err(message),
        Err(FormError::Full) => return page::failed(full()),
    };
    // Only now: a body may take its time.
    let mut occasion = app.occasion(Actor::Saml { connection: asked.id }, &request_id(&parts));
    if let Some((connection, row)) = &begun {
        match test::receive(&app, connection, row, &form, &mut occasion).await {
            Ok(Some(response)) => return response,
            Ok(None) => {}
            Err(problem) => return page::failed(problem),
        }
    }
    let Some(mut enabled) = enabled else { return page::not_found() };
    match sign_in(&app, &mut enabled, form, &parts.headers, &mut occasion).await {
        Ok(admitted) => welcome(&app, &enabled.connection, &mut occasion, &admitted),
        Err(Failure::Refused(refusal)) => refuse(&app, &enabled.connection, &mut occasion, refusal, client),
        Err(Failure::Broken(problem)) => page::failed(problem),
    }
}

pub(super) fn full() -> Problem {
    Problem::unavailable("Too many responses are being verified; try again.")
}

/// What the response is judged by.
struct Enabled {
    connection: Connection,
    /// It is as this node last saw it, and may be another by now: whoever is let in is let in by the one that the transaction finds, and
    /// nobody is refused by this one.
    is_recalled: bool,
}

async fn recall(app: &App, slug: &str) -> Result<Option<Enabled>, DbError> {
    if let Some(published) = app.published.recall(slug).filter(|published| published.connection.signs_in()) {
        return Ok(Some(Enabled { connection: published.connection.clone(), is_recalled: true }));
    }
    Ok(find_enabled(app, slug).await?.map(|connection| Enabled { connection, is_recalled: false }))
}

/// `enabled` is afterwards the one that decided.
async fn sign_in(
    app: &App,
    enabled: &mut Enabled,
    form: Result<AcsForm, String>,
    headers: &HeaderMap,
    occasion: &mut Occasion,
) -> Result<Admitted, Failure> {
    for _ in 0..ATTEMPTS {
        let refusal = match judge(app, &enabled.connection, &form, headers, occasion).await {
            Ok(Outcome::Admitted(mut admitted)) => {
                let asked = form.ok().and_then(|form| form.relay_state.as_deref().and_then(LocalPath::parse));
                admitted.return_to = admitted.return_to.or(asked);
                return Ok(admitted);
            }
            Ok(Outcome::Refused(refusal)) => return Err(refusal.into()),
            Ok(Outcome::ConnectionChanged) => None,
            Err(Failure::Refused(refusal)) if enabled.is_recalled => Some(refusal),
            Err(failure) => return Err(failure),
        };
        // A certificate may have been added or retired, or sign-in switched off, since it was read.
        let now = find_enabled(app, enabled.connection.slug.as_str()).await?;
        let is_same = now.as_ref().is_some_and(|now| now.version == enabled.connection.version);
        if !is_same {
            app.published.forget(enabled.connection.slug.as_str());
        }
        *enabled = Enabled { connection: now.ok_or_else(Problem::not_found)?, is_recalled: false };
        if let Some(refusal) = refusal.filter(|_| is_same) {
            return Err(refusal.into());
        }
    }
    Err(Problem::unavailable("The connection is being changed; try again.").into())
}

async fn judge(
    app: &App,
    connection: &Connection,
    form: &Result<AcsForm, String>,
    headers: &HeaderMap,
    occasion: &mut Occasion,
) -> Result<Outcome, Failure> {
    match form {
        Ok(form) => {
            let verified = verify(app, connection, &form.saml_response).await?;
            admit::admit(app, connection, &verified, headers, occasion).await
        }
        Err(message) => Err(SignInRefusal::new("transport", message.as_str()).into()),
    }
}

fn welcome(app: &App, connection: &Connection, occasion: &mut Occasion, admitted: &Admitted) -> Response {
    app.sign_in_log.mark_used(connection.tenant, connection.id, admitted.verified_with, occasion.now);
    if let Some(key) = admitted.decrypted_with {
        app.sign_in_log.mark_decrypted(connection.tenant, connection.id, key, occasion.now);
    }
    let row = SignInLogRow {
        id: occasion.ids.make(),
        connection: connection.id,
        at: occasion.now,
        outcome: SignInOutcome::Accepted,
        step: None,
        message: if admitted.created { "signed in for the first time; an account was made" } else { "signed in" }.to_owned(),
        why: Why::default(),
        account: Some(admitted.account),
        occurrences: 1,
        last_at: occasion.now,
    };
    app.sign_in_log.note(connection.tenant, row);
    app.committed.notify_one();
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    let home = format!("{}/me", app.config.public_url.prefix());
    let location = admitted.return_to.as_ref().map_or(home.as_str(), LocalPath::as_str);
    headers.insert(header::LOCATION, HeaderValue::from_str(location).expect("a local path is visible ASCII"));
    let max_age_secs = (admitted.expires_at.millis() - occasion.now.millis()) / 1000;
    headers.append(header::SET_COOKIE, session::keep_cookie(app, &admitted.secret, max_age_secs));
    if let Some(cookie) = admitted.answered.as_deref().and_then(|id| browser::end(app, id)) {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}

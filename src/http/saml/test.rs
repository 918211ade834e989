//! The browser's side of a test sign-in: its address leads to the identity provider, the response comes back to the same place as every
//! other one, and the result is shown to those who may see it.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    acs::Failure,
    browser, find,
    form::AcsForm,
    login,
    refusal::SignInRefusal,
    verify::{Verified, verify},
};
use crate::{
    admin::test_sign_in,
    app::App,
    db::{
        self, DbError,
        test_sign_in::{TestRow, TestState},
    },
    domain::{actor::Occasion, connection::Connection, id::EventId},
    http::{api::test_sign_ins, caller::session::SessionCaller, error::Problem, page},
    keys,
    provision::ProvisionError,
};

/// How often the preview is tried when others are in its way.
const ATTEMPTS: u32 = 3;

#[derive(Deserialize)]
pub struct Token {
    #[serde(default)]
    token: String,
}

pub async fn begin(State(app): State<App>, Path(slug): Path<String>, Query(query): Query<Token>) -> Response {
    let connection = match find(&app, &slug).await {
        Ok(Some(connection)) => connection,
        Ok(None) => return page::not_found(),
        Err(error) => return page::failed(error.into()),
    };
    match send(&app, &connection, &query.token).await {
        Ok(Some(response)) => response,
        Ok(None) => page::not_found(),
        Err(problem) => page::failed(problem),
    }
}

async fn send(app: &App, connection: &Connection, token: &str) -> Result<Option<Response>, Problem> {
    let Some((binding, destination)) = login::destination(connection) else { return Ok(None) };
    let Some(own) = login::keys_of(app, connection).await? else { return Ok(Some(login::no_key())) };
    let (request, secret) = (login::request(app, connection, destination), keys::secret(app.random.bytes()));
    let mut tx = app.db.begin().await?;
    let (hash, browser) = (keys::hash(token), keys::hash(secret.expose()));
    let begun = db::test_sign_in::begin_test(&mut tx, connection.tenant, connection.id, &hash, &request.id, &browser, app.now()).await?;
    if !begun {
        return Ok(None);
    }
    tx.commit().await?;
    let cookie = browser::begin_test(app, &request.id, &secret);
    let mut response = login::send(app, binding, request, own).await?;
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(Some(response))
}

/// The connection and the test that this browser has begun at it, if any: the only case in which a response to a connection that is not
/// switched on is looked at.
pub async fn find_begun(app: &App, slug: &str, headers: &HeaderMap) -> Result<Option<(Connection, TestRow)>, DbError> {
    let Some((request, secret)) = browser::find_test(app, headers) else { return Ok(None) };
    let Some(connection) = find(app, slug).await? else { return Ok(None) };
    let (tenant, id, browser) = (connection.tenant, connection.id, keys::hash(secret.expose()));
    let row = db::test_sign_in::find_begun(&app.db, tenant, id, &request, &browser, app.now()).await?;
    Ok(row.map(|row| (connection, row)))
}

/// Judges the response of a test. `None` when it answers another request of this browser: then it is none of the test's business.
pub async fn receive(
    app: &App,
    connection: &Connection,
    row: &TestRow,
    form: &Result<AcsForm, String>,
    occasion: &mut Occasion,
) -> Result<Option<Response>, Problem> {
    let verified = match form {
        Ok(form) => verify(app, connection, &form.saml_response).await,
        Err(message) => Err(SignInRefusal::new("transport", message.as_str()).into()),
    };
    let outcome = match verified {
        Ok(verified) if verified.assertion.in_response_to == row.request => show(app, connection, row, &verified, occasion).await?,
        Ok(_) if connection.signs_in() => return Ok(None),
        Ok(_) => Err(SignInRefusal::new("in_response_to", "the response answers another request than the one of the test")),
        Err(Failure::Refused(refusal)) => Err(refusal),
        Err(Failure::Broken(problem)) => return Err(problem),
    };
    if let Err(refusal) = outcome {
        let why = json!({ "code": refusal.why.code, "expected": refusal.why.expected, "got": refusal.why.got, "cure": refusal.why.cure });
        test_sign_in::refuse(&app.db, row, refusal.step, &refusal.message, &why).await?;
    }
    let path = format!("{}/connections/{}/test-sign-ins/{}", app.config.public_url.prefix(), connection.slug, row.id);
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_str(&path).expect("a path of ours is visible ASCII"));
    headers.append(header::SET_COOKIE, browser::end_test(app));
    Ok(Some(response))
}

async fn show(
    app: &App,
    connection: &Connection,
    row: &TestRow,
    verified: &Verified,
    occasion: &mut Occasion,
) -> Result<Result<(), SignInRefusal>, Problem> {
    let (assertion, claim) = (&verified.assertion, &verified.claim);
    if !test_sign_in::consume(&app.db, connection, assertion).await? {
        return Ok(Err(SignInRefusal::new("replay", "the assertion was used before")));
    }
    let mut attempt = 1;
    loop {
        match test_sign_in::show(&app.db, &app.published, occasion, connection, row, assertion, claim).await {
            Ok(()) => return Ok(Ok(())),
            Err(ProvisionError::Again) if attempt < ATTEMPTS => attempt += 1,
            Err(ProvisionError::Again) => return Err(Problem::unavailable("Others are signing in to the same account; test again.")),
            Err(ProvisionError::Db(error)) => return Err(error.into()),
            Err(error) => return Err(Problem::internal(&error)),
        }
    }
}

#[derive(Template)]
#[template(path = "test_sign_in.html")]
struct Page<'a> {
    state: TestState,
    refused: Option<(&'a str, &'a str)>,
    would: Option<&'a Value>,
    parts: Vec<(&'a str, String)>,
}

/// The result, for a browser.
pub async fn page(caller: Result<SessionCaller, Problem>, Path((slug, id)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let found = match (caller, EventId::parse(&id)) {
        (Ok(caller), Ok(id)) => test_sign_ins::find(&caller.into(), &slug, id).await,
        (Ok(_), Err(_)) => Err(Problem::not_found()),
        (Err(problem), _) => Err(problem),
    };
    let row = match found {
        Ok(row) => row,
        Err(problem) if page::prefers_json(&headers) => return problem.into(),
        Err(problem) => return page::failed(problem),
    };
    let result = row.result.as_ref();
    let text = |pointer: &str| result.and_then(|result| result.pointer(pointer)).and_then(Value::as_str);
    let part = |(title, name): (&'static str, &str)| {
        let value = result?.get(name)?;
        Some((title, serde_json::to_string_pretty(value).unwrap_or_default()))
    };
    let parts = [("What would be done", "would"), ("The person, as rules see them", "identity"), ("The verified assertion", "assertion")];
    let page = Page {
        state: row.state,
        refused: text("/refused/step").zip(text("/refused/message")),
        would: result.and_then(|result| result.get("would")),
        parts: parts.into_iter().filter_map(part).collect(),
    };
    page::respond(StatusCode::OK, &page)
}

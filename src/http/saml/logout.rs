//! Single Logout over HTTP, both ways and both bindings. What a browser carries is believed when it is signed; whoever signs out here is
//! signed out here, whatever the identity provider says of it or whether it can be reached at all.

use axum::{
    extract::{Path, RawQuery, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    Addresses,
    acs::{Failure, full},
    find_enabled,
    form::{self, Carried, FormError},
    refusal::{SignInRefusal, refuse},
};
use crate::{
    admin::logout::{self, Ended},
    app::App,
    db::{
        self,
        session::SessionRow,
        sign_in::{SignInLogRow, SignInOutcome, Why},
    },
    domain::{
        actor::{Actor, Occasion},
        connection::Connection,
    },
    http::{caller::request_id, client::Stranger, error::Problem, page, request::RequestId, work},
    saml::{
        Refusal,
        logout::{Content, LogoutParty, LogoutRequest, LogoutResponse, Outgoing, Sent, read_request, read_response},
        request::request_id as message_id,
    },
};

/// SAML bindings, 3.4.3 allows 80; who sends more gets it back up to here, and nothing beyond.
const RELAY_STATE: usize = 1024;

/// How often a message is verified again because the connection changed meanwhile.
const ATTEMPTS: u32 = 3;

/// A message with what it came with.
#[derive(Clone)]
struct Received {
    carried: Carried,
    relay_state: Option<String>,
    /// By redirect: the query as it stood in the address.
    query: Option<String>,
}

enum Message {
    Request(LogoutRequest),
    Response(LogoutResponse),
}

pub async fn get(State(app): State<App>, Path(slug): Path<String>, RawQuery(query): RawQuery, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = query.unwrap_or_default();
    let received = form::parse_query(&query).map(|(carried, relay_state)| Received { carried, relay_state, query: Some(query) });
    match find(&app, &slug).await {
        Ok(connection) => {
            receive(&app, &connection, received, &request_id(&parts), Stranger::of(&parts, &app.config.trusted_proxies)).await
        }
        Err(response) => response,
    }
}

pub async fn post(State(app): State<App>, Path(slug): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let connection = match find(&app, &slug).await {
        Ok(connection) => connection,
        Err(response) => return response,
    };
    let stranger = Stranger::of(&parts, &app.config.trusted_proxies);
    let Ok(mut held) = app.intake.enter(connection.id, stranger) else { return page::failed(full()) };
    let received = match form::read_message(&parts.headers, body, &mut held).await {
        Ok((carried, relay_state)) => Ok(Received { carried, relay_state, query: None }),
        Err(FormError::Refused(message)) => Err(message),
        Err(FormError::Full) => return page::failed(full()),
    };
    receive(&app, &connection, received, &request_id(&parts), stranger).await
}

async fn find(app: &App, slug: &str) -> Result<Connection, Response> {
    match find_enabled(app, slug).await {
        Ok(found) => found.ok_or_else(page::not_found),
        Err(error) => Err(page::failed(error.into())),
    }
}

async fn receive(
    app: &App,
    connection: &Connection,
    received: Result<Received, String>,
    request_id: &RequestId,
    client: Option<Stranger>,
) -> Response {
    let mut occasion = app.occasion(Actor::Saml { connection: connection.id }, request_id);
    let judged = match received {
        Ok(received) => judge(app, connection, received, &mut occasion).await,
        Err(message) => Err(SignInRefusal::new("logout", message).into()),
    };
    match judged {
        Ok(response) => response,
        Err(Failure::Refused(refusal)) => refuse(app, connection, &mut occasion, refusal, client),
        Err(Failure::Broken(problem)) => page::failed(problem),
    }
}

async fn judge(app: &App, connection: &Connection, received: Received, occasion: &mut Occasion) -> Result<Response, Failure> {
    let by_redirect = received.query.is_some();
    let relay_state = received.relay_state.clone().filter(|state| state.len() <= RELAY_STATE);
    let mut connection = connection.clone();
    for _ in 0..ATTEMPTS {
        let verified = verify(app, &connection, received.clone()).await?;
        // The verification waited for its turn.
        occasion.now = app.now();
        let message = match verified {
            Ok(message) => message,
            Err(refusal) => return Err(SignInRefusal::from(refusal).into()),
        };
        let request = match message {
            Message::Request(request) => request,
            Message::Response(response) => return hear(app, &connection, occasion, &response).await,
        };
        match logout::end_by_identity_provider(&app.db, occasion, &connection, &request).await? {
            Ended::Sessions(ended) => {
                note(app, &connection, occasion, format!("signed out by the identity provider: {ended} sessions ended"));
                return Ok(answer(app, &connection, &request, relay_state.as_deref(), by_redirect).await?);
            }
            Ended::Replayed => return Err(SignInRefusal::new("replay", "the LogoutRequest was used before").into()),
            Ended::Expired => return Err(SignInRefusal::too_late("the LogoutRequest expired while it was worked on").into()),
            // A certificate may have been retired, or the connection switched off, while the signature was checked.
            Ended::ConnectionChanged => match find_enabled(app, connection.slug.as_str()).await? {
                Some(found) => connection = found,
                None => return Ok(page::not_found()),
            },
        }
    }
    Err(Problem::unavailable("The connection is being changed; try again.").into())
}

async fn verify(app: &App, connection: &Connection, received: Received) -> Result<Result<Message, Refusal>, Problem> {
    let certificates = app.trusted.read(&app.db, connection).await?;
    let addresses = Addresses::of(&app.config.public_url, &connection.slug);
    let (saml, clock) = (connection.saml.clone(), app.clock.clone());
    let judge = move || {
        let party = LogoutParty {
            logout_url: &addresses.logout_url,
            idp_entity_id: &saml.idp_entity_id,
            certificates: &certificates,
            skew_secs: saml.skew_secs,
            expired_certificate_days: saml.expired_certificate_days,
        };
        let now = clock.now();
        let sent = |value| received.query.as_deref().map_or(Sent::Post(value), Sent::Redirect);
        match &received.carried {
            Carried::Request(value) => read_request(sent(value), &party, now).map(Message::Request),
            Carried::Response(value) => read_response(sent(value), &party, now).map(Message::Response),
        }
    };
    work::run(app, judge).await
}

/// The identity provider signed somebody out, and is told that it was done.
async fn answer(
    app: &App,
    connection: &Connection,
    request: &LogoutRequest,
    relay_state: Option<&str>,
    by_redirect: bool,
) -> Result<Response, Problem> {
    let content = Content::Response { in_response_to: request.id.clone() };
    Ok(match send(app, connection, content, relay_state, by_redirect).await? {
        Some(sent) => sent.respond("Signed out"),
        None => page::say(StatusCode::OK, "Signed out", &["Your session has ended here."]),
    })
}

/// The identity provider answers a request of ours. Here the session has ended long before.
async fn hear(app: &App, connection: &Connection, occasion: &mut Occasion, response: &LogoutResponse) -> Result<Response, Failure> {
    if !logout::is_answered(&app.db, occasion, connection, &response.in_response_to).await? {
        let refusal =
            SignInRefusal::new("in_response_to", "the LogoutResponse answers a request that is unknown, answered already or too old");
        return Err(refusal.into());
    }
    if response.success {
        return Ok(page::say(StatusCode::OK, "Signed out", &["Your session has ended here and at your identity provider."]));
    }
    note(app, connection, occasion, format!("signed out here; the identity provider reports {}", response.status.join(" / ")));
    let lines = ["Your session has ended here. Your identity provider reports that it could not sign you out everywhere."];
    Ok(page::say(StatusCode::OK, "Signed out", &lines))
}

fn note(app: &App, connection: &Connection, occasion: &mut Occasion, message: String) {
    let row = SignInLogRow {
        id: occasion.ids.make(),
        connection: connection.id,
        at: occasion.now,
        outcome: SignInOutcome::Accepted,
        step: Some("logout".to_owned()),
        message,
        why: Why::default(),
        account: None,
        occurrences: 1,
        last_at: occasion.now,
    };
    app.sign_in_log.note(connection.tenant, row);
    app.committed.notify_one();
}

/// A message of ours on its way through the browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Onward {
    Redirect(String),
    Post { destination: String, field: &'static str, value: String, relay_state: Option<String> },
}

impl Onward {
    fn respond(&self, title: &str) -> Response {
        match self {
            Self::Redirect(url) => match HeaderValue::from_str(url) {
                Ok(location) => {
                    let mut response = StatusCode::SEE_OTHER.into_response();
                    response.headers_mut().insert(header::LOCATION, location);
                    response
                }
                Err(_) => page::say(StatusCode::OK, title, &["Your session has ended here."]),
            },
            Self::Post { destination, field, value, relay_state } => {
                let mut fields = vec![(*field, value.as_str())];
                fields.extend(relay_state.as_deref().map(|state| ("RelayState", state)));
                page::send_on(title, destination, &fields)
            }
        }
    }

    /// After a form of ours was sent: browsers hold a page's `form-action` against redirects, so that a page goes on by itself.
    pub fn show(&self) -> Response {
        match self {
            Self::Redirect(url) => page::respond(StatusCode::OK, &page::GoOn { title: "Signed out", url }),
            Self::Post { .. } => self.respond("Signed out"),
        }
    }

    /// For programs: the address that a browser goes on to.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        match self {
            Self::Redirect(url) => Some(url),
            Self::Post { .. } => None,
        }
    }
}

/// Asks the identity provider of a session that has just ended here to end it there. `None` where it takes no such requests, or we have
/// nothing to sign them with.
pub async fn begin(app: &App, session: &SessionRow) -> Result<Option<Onward>, Problem> {
    let (Some(id), Some(name_id)) = (session.connection, session.name_id.clone()) else { return Ok(None) };
    let found = db::connection::find_connection(&app.db, session.tenant, id).await?;
    let Some(connection) = found.map(|row| row.connection).filter(|connection| connection.saml.enabled) else { return Ok(None) };
    if app.own_keys.read(&app.db, &app.keys, &connection).await?.signing.is_none() {
        return Ok(None);
    }
    let content = Content::Request { name_id, session_index: session.session_index.clone() };
    send(app, &connection, content, None, true).await
}

/// Where the identity provider takes logout messages, the asked way first.
fn destination(connection: &Connection, by_redirect: bool) -> Option<(bool, String)> {
    let redirect = connection.saml.slo_redirect_url.clone().map(|url| (true, url));
    let post = connection.saml.slo_post_url.clone().map(|url| (false, url));
    if by_redirect { redirect.or(post) } else { post.or(redirect) }
}

async fn send(
    app: &App,
    connection: &Connection,
    content: Content,
    relay_state: Option<&str>,
    by_redirect: bool,
) -> Result<Option<Onward>, Problem> {
    let Some((by_redirect, destination)) = destination(connection, by_redirect) else { return Ok(None) };
    let own = app.own_keys.read(&app.db, &app.keys, connection).await?;
    let (id, now) = (message_id(app.random.bytes()), app.now());
    if matches!(content, Content::Request { .. }) {
        logout::remember(&app.db, connection, &id, now).await?;
    }
    let issuer = Addresses::of(&app.config.public_url, &connection.slug).entity_id;
    let state = relay_state.map(str::to_owned);
    let make = move || {
        let outgoing = Outgoing { id, destination, issuer, issue_instant: now, content };
        let key = own.signing.as_ref();
        if by_redirect {
            return outgoing.redirect_url(state.as_deref(), key).map(Onward::Redirect);
        }
        let (field, value) = (outgoing.parameter(), outgoing.form_value(key)?);
        Ok(Onward::Post { destination: outgoing.destination, field, value, relay_state: state })
    };
    let onward = work::run(app, make).await?;
    onward.map(Some).map_err(|error| Problem::internal(&error))
}

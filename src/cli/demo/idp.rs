//! The demo's identity provider: shows the people, signs in whom one picks, asks for no password. On loopback only.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::people::{EVERYBODY, Person};
use crate::{
    app::{Clock, Random},
    saml::{
        NameId,
        issuer::{IssueError, IssuerKey, Message, ReceivedRequest, Sign},
    },
};

const EMAIL: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";

#[derive(Debug, thiserror::Error)]
pub enum IdpError {
    #[error("the demo's identity provider signs in everybody who asks: it listens on loopback only, not on {0}")]
    NotLoopback(IpAddr),
    #[error("the demo's identity provider cannot listen on this machine")]
    Listen(#[source] io::Error),
    #[error("the demo's identity provider has no key")]
    Key(#[source] IssueError),
}

/// A listener and a key; it serves when it knows the gateway.
pub struct Idp {
    listener: TcpListener,
    pub base: String,
    key: IssuerKey,
    clock: Clock,
    random: Random,
}

struct Serving {
    idp_entity_id: String,
    key: IssuerKey,
    clock: Clock,
    random: Random,
    gateway: String,
}

impl Idp {
    pub async fn bind(address: IpAddr, clock: Clock, random: Random) -> Result<Self, IdpError> {
        if !address.is_loopback() {
            return Err(IdpError::NotLoopback(address));
        }
        let listener = TcpListener::bind(SocketAddr::new(address, 0)).await.map_err(IdpError::Listen)?;
        let base = format!("http://{}", listener.local_addr().map_err(IdpError::Listen)?);
        let key = IssuerKey::rsa("rolegate demo", clock.now().plus_secs(-60)).map_err(IdpError::Key)?;
        Ok(Self { listener, base, key, clock, random })
    }

    fn entity_id(&self) -> String {
        format!("{}/metadata", self.base)
    }

    /// What a connection is told of it.
    pub fn metadata(&self) -> String {
        self.key.metadata(&self.entity_id(), &format!("{}/sso", self.base))
    }

    /// Serves until the process ends. It answers requests of this gateway only.
    pub async fn serve(self, gateway: String) -> io::Result<()> {
        let serving = Serving { idp_entity_id: self.entity_id(), key: self.key, clock: self.clock, random: self.random, gateway };
        let router = Router::new().route("/", get(home)).route("/sso", get(sso)).with_state(Arc::new(serving));
        axum::serve(self.listener, router).await
    }
}

#[derive(Template)]
#[template(path = "demo_idp.html")]
struct Choose<'a> {
    line: &'a str,
    choices: Vec<Choice>,
}

struct Choice {
    address: String,
    name: &'static str,
    about: String,
}

impl Choice {
    fn of(person: &Person, address: String) -> Self {
        Self {
            address,
            name: person.name,
            about: format!("{} {}, in {}, through {}", person.given_name, person.family_name, person.groups.join(", "), person.connection),
        }
    }
}

#[derive(Template)]
#[template(path = "demo_post.html")]
struct Post<'a> {
    name: &'a str,
    acs_url: &'a str,
    response: &'a str,
    relay_state: Option<&'a str>,
}

async fn home(State(idp): State<Arc<Serving>>) -> Response {
    let login = |person: &Person| Choice::of(person, format!("{}/connections/{}/saml/login", idp.gateway, person.connection));
    page(&Choose { line: "Whom do you want to be? The sign-in begins at the gateway.", choices: EVERYBODY.iter().map(login).collect() })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    #[serde(rename = "SAMLRequest")]
    saml_request: String,
    relay_state: Option<String>,
    /// Who was picked; without it, the page to pick from.
    #[serde(rename = "as")]
    name: Option<String>,
}

async fn sso(State(idp): State<Arc<Serving>>, Query(asked): Query<Asked>) -> Response {
    let request = match ReceivedRequest::parse(&asked.saml_request) {
        Ok(request) => request,
        Err(refusal) => return (StatusCode::BAD_REQUEST, refusal.to_string()).into_response(),
    };
    let known =
        EVERYBODY.iter().filter(|person| request.issuer == format!("{}/connections/{}/saml/metadata", idp.gateway, person.connection));
    let known: Vec<_> = known.collect();
    if known.is_empty() {
        return (StatusCode::FORBIDDEN, "This identity provider knows the connections of its demo only.").into_response();
    }
    match asked.name.as_deref().map(|name| known.iter().find(|person| person.name == name)) {
        None => page(&Choose { line: "Whom do you want to be?", choices: choices(&known, &asked) }),
        Some(None) => (StatusCode::NOT_FOUND, "Nobody of that name signs in through this connection.").into_response(),
        Some(Some(person)) => answer(&idp, &request, person, asked.relay_state.as_deref()),
    }
}

/// The same request again, with a person picked.
fn choices(known: &[&Person], asked: &Asked) -> Vec<Choice> {
    let address = |person: &Person| {
        let mut query = url::form_urlencoded::Serializer::new("/sso?".to_owned());
        query.append_pair("SAMLRequest", &asked.saml_request);
        if let Some(state) = &asked.relay_state {
            query.append_pair("RelayState", state);
        }
        query.append_pair("as", person.name).finish()
    };
    known.iter().map(|person| Choice::of(person, address(person))).collect()
}

fn answer(idp: &Serving, request: &ReceivedRequest, person: &Person, relay_state: Option<&str>) -> Response {
    // Not where the request says: where this connection is known to take responses.
    let acs_url = format!("{}/connections/{}/saml/acs", idp.gateway, person.connection);
    let name_id = NameId { value: person.name.to_owned(), format: Some(EMAIL.to_owned()) };
    let mut message = Message::new(idp.random.bytes(), &idp.idp_entity_id, &request.issuer, &acs_url, name_id, idp.clock.now());
    message.in_response_to = Some(request.id.clone());
    let one = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
    message.attributes = vec![
        one("email", person.name),
        one("firstName", person.given_name),
        one("lastName", person.family_name),
        ("groups".to_owned(), person.groups.iter().map(|&group| group.to_owned()).collect()),
    ];
    match idp.key.issue(&message, Sign::Assertion) {
        Ok(xml) => page(&Post { name: person.name, acs_url: &acs_url, response: &STANDARD.encode(xml), relay_state }),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_listens_on_loopback_only() {
        let refused = Idp::bind(IpAddr::from([0, 0, 0, 0]), Clock::System, Random::System).await;
        assert!(matches!(refused.err(), Some(IdpError::NotLoopback(_))));
        let idp = Idp::bind(IpAddr::from([127, 0, 0, 1]), Clock::System, Random::System).await.unwrap();
        assert!(idp.base.starts_with("http://127.0.0.1:"), "{}", idp.base);
        assert!(idp.metadata().contains(&format!("{}/sso", idp.base)));
    }
}

//! A corpus of altered messages. Each stands beside a control that differs as little as possible and is accepted; the altered one is
//! refused at the step that is named, for the reason that is named, and leaves nothing in any table but the log.
//!
//! A case is data: its name, the step, a word of the reason, and a function that makes the request, altered or not.

mod algorithms;
mod answers;
mod bytes;
mod conditions;
mod craft;
mod encrypted;
mod grammar;
mod keys;
mod names;
mod relay;
mod text;
mod transport;
mod wrapping;

use axum::http::{Method, StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rolegate::{
    admin::sp_key::{self, Sealing},
    db,
    domain::{actor::Actor, time::Timestamp},
    policy::access::authorize,
    saml::issuer::{IssuerKey, Message, Sign},
};
use rstest::rstest;
use serde_json::json;

use super::house::{self, LOGIN, SLUG, ada, assert_refused};
use crate::common::{
    dump::{Dump, assert_same, dump},
    engines::Engine,
    idp,
    installation::{Answer, Browser, Gateway},
};

pub struct Case {
    name: String,
    /// Where the log says that it was refused.
    step: &'static str,
    /// What the log says of it.
    says: &'static str,
    status: StatusCode,
    /// Sign-ins were begun before.
    begun: bool,
    make: Box<dyn Fn(&Scene, Kind) -> Sent>,
}

/// Which of the two a case is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Control,
    Hostile,
}

impl Kind {
    pub fn pick<T>(self, control: T, hostile: T) -> T {
        match self {
            Self::Control => control,
            Self::Hostile => hostile,
        }
    }
}

/// What a request may refer to. Everything is fresh for each request.
pub struct Scene {
    pub now: Timestamp,
    /// A valid message of Ada's for the connection.
    pub message: Message,
    pub requests: Requests,
}

/// Requests that wait: of this browser, of another one, of this browser at another connection; and one that has its answer.
#[derive(Debug, Default)]
pub struct Requests {
    pub hers: String,
    pub his: String,
    pub elsewhere: String,
    pub answered: String,
}

/// A request as it goes out.
pub struct Sent {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Vec<u8>,
    /// The browser's cookies go along.
    pub cookies: bool,
}

pub const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

impl Sent {
    /// The XML of a response, as a browser hands it over.
    pub fn xml(xml: &str) -> Self {
        Self::value(&STANDARD.encode(xml))
    }

    /// The value of `SAMLResponse`.
    pub fn value(value: &str) -> Self {
        Self::fields(&[("SAMLResponse", value)])
    }

    pub fn fields(fields: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self { method: Method::POST, path: acs(SLUG), headers: vec![FORM], body: body.into_bytes(), cookies: true }
    }

    pub fn to(mut self, slug: &str) -> Self {
        self.path = acs(slug);
        self
    }
}

fn acs(slug: &str) -> String {
    format!("/connections/{slug}/saml/acs")
}

impl Case {
    pub fn new(name: &str, (step, says): (&'static str, &'static str), make: impl Fn(&Scene, Kind) -> Sent + 'static) -> Self {
        Self { name: name.to_owned(), step, says, status: StatusCode::FORBIDDEN, begun: false, make: Box::new(make) }
    }

    /// A response, as XML.
    pub fn xml(name: &str, refused: (&'static str, &'static str), make: impl Fn(&Scene, Kind) -> String + 'static) -> Self {
        Self::new(name, refused, move |scene, kind| Sent::xml(&make(scene, kind)))
    }

    /// What the message says, signed afterwards as a whole and in its assertion.
    pub fn message(
        name: &str,
        refused: (&'static str, &'static str),
        control: fn(&Scene, &mut Message),
        hostile: fn(&Scene, &mut Message),
    ) -> Self {
        Self::xml(name, refused, move |scene, kind| {
            let mut message = scene.message.clone();
            kind.pick(control, hostile)(scene, &mut message);
            craft::issue(&message, Sign::Both)
        })
    }

    /// The assertion's XML: `from` becomes the one or the other, and then it is signed.
    pub fn signed(
        name: &str,
        refused: (&'static str, &'static str),
        from: &'static str,
        control: &'static str,
        hostile: &'static str,
    ) -> Self {
        Self::xml(name, refused, move |scene, kind| {
            let assertion = craft::replaced(&scene.message.assertion(), from, kind.pick(control, hostile));
            scene.message.response(&craft::sign(&assertion, &scene.message.assertion_id))
        })
    }

    /// The whole message after it was signed in its assertion: `from` becomes the one or the other.
    pub fn altered(
        name: &str,
        refused: (&'static str, &'static str),
        from: &'static str,
        control: &'static str,
        hostile: &'static str,
    ) -> Self {
        Self::xml(name, refused, move |scene, kind| {
            craft::replaced(&craft::issue(&scene.message, Sign::Assertion), from, kind.pick(control, hostile))
        })
    }

    /// What the signature says of itself, before its values are computed if they can be computed so.
    pub fn template(
        name: &str,
        refused: (&'static str, &'static str),
        from: &'static str,
        control: &'static str,
        hostile: &'static str,
    ) -> Self {
        Self::xml(name, refused, move |scene, kind| {
            let template = craft::replaced(&idp::KEY.template(&scene.message.assertion_id), from, kind.pick(control, hostile));
            scene.message.response(&craft::sign_by_template(&scene.message.assertion(), &template))
        })
    }

    /// A case that refers to [`Requests`].
    pub fn begun(mut self) -> Self {
        self.begun = true;
        self
    }

    /// The status of a refusal that comes before any connection is looked at.
    pub fn answered(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

/// Another connection of the same identity provider where it may not begin, one of another, and one with a key on a curve.
pub const STRICT: &str = "acme-strict";
pub const FOREIGN: &str = "acme-foreign";
pub const CURVED: &str = "acme-curved";
/// A connection of another tenant.
pub const NEIGHBOUR: &str = "other-okta";

fn connection(slug: &str, settings: &str) -> String {
    format!(
        "[[connections]]\nslug = \"{slug}\"\naudience = \"self_service\"\n[connections.saml]\nenabled = true\nidp_metadata = \"idp.xml\"\n{settings}\n"
    )
}

fn metadata_of(slug: &str) -> rolegate::saml::IdpMetadata {
    let keys: &[&IssuerKey] = match slug {
        FOREIGN => &[&idp::FOREIGN_KEY],
        CURVED => &[&craft::EC_KEY],
        NEIGHBOUR => &[&craft::NEIGHBOURS_KEY],
        _ => &[&idp::KEY],
    };
    idp::metadata_with(keys)
}

async fn open(engine: Engine) -> Gateway {
    let gateway = Gateway::open(engine).await;
    let begins = "idp_initiated = true";
    let more = [connection(STRICT, ""), connection(FOREIGN, begins), connection(CURVED, begins)].concat();
    let applied = gateway.apply_with(&house::tenant(begins, &more), metadata_of).await;
    let other = format!(
        "[tenant]\nslug = \"other\"\nname = \"Other\"\npreset = \"owner-member\"\nsettings = {{ min_owners = 1 }}\n[[owners]]\nemail = \"o@other.example\"\nname = \"O\"\n{}",
        connection(NEIGHBOUR, begins)
    );
    gateway.apply_with(&other, metadata_of).await;
    retire_a_certificate(&mut gateway.browser_by_link(&applied, "owner@acme.example").await).await;
    keep_key(&gateway).await;
    gateway
}

/// The connection decrypts with `encrypted::OURS`.
async fn keep_key(gateway: &Gateway) {
    let connection = db::connection::find_connection_by_slug(&gateway.app.db, SLUG).await.unwrap().unwrap().connection;
    let model = db::model::load_model(&gateway.app.db, connection.tenant).await.unwrap();
    let grant = authorize(&Actor::HostOperator, &model, connection.organization).unwrap();
    let mut occasion = gateway.app.occasion(Actor::HostOperator, "test");
    let sealing = Sealing { keys: &gateway.app.keys, nonce: gateway.app.random.bytes() };
    sp_key::add(
        &grant,
        &gateway.app.db,
        &mut occasion,
        &connection,
        &rolegate::provision::Precondition::None,
        &sealing,
        encrypted::OURS.pair(),
    )
    .await
    .unwrap();
}

/// The connection trusted `RETIRED_KEY` once.
async fn retire_a_certificate(owner: &mut Browser<'_>) {
    let certificates = format!("/api/v1/connections/{SLUG}/certificates");
    let added = owner.post_json(&certificates, &json!({ "certificate": craft::RETIRED_KEY.certificate().to_pem() })).await;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.text());
    let retire = format!("{certificates}/{}/retire", added.json()["id"].as_str().unwrap());
    let retired = owner.post_json(&retire, &json!({ "confirm": true })).await;
    assert_eq!(retired.status, StatusCode::OK, "{}", retired.text());
}

/// What a refused response may leave: its line in the log, and that it and the request were used up.
const LEFT: [&str; 3] = ["sign_in_log", "consumed_assertion", "authn_request"];

async fn begin(browser: &mut Browser<'_>, path: &str) -> String {
    let begun = browser.get(path).await;
    idp::request_id(begun.location())
}

struct Outcome {
    answer: Answer,
    /// What was there when the request was sent.
    before: Dump,
}

/// Makes the request of a case and sends it.
async fn send(gateway: &Gateway, case: &Case, kind: Kind) -> Outcome {
    send_as(gateway, case, kind, |_, sent| Some(sent)).await.expect("every request goes out as it is")
}

/// As [`send`], with something made of the request; `None` where nothing can be made of it.
async fn send_as(gateway: &Gateway, case: &Case, kind: Kind, make: impl FnOnce(&Scene, Sent) -> Option<Sent>) -> Option<Outcome> {
    let mut browser = gateway.browser();
    let requests = if case.begun { requests(gateway, &mut browser).await } else { Requests::default() };
    gateway.settle().await;
    gateway.app.clock.advance_secs(1);
    let scene = Scene { now: gateway.app.now(), message: ada(gateway, &["platform-admins"]), requests };
    let sent = make(&scene, (case.make)(&scene, kind))?;
    if !sent.cookies {
        browser.cookies.clear();
    }
    let before = dump(gateway.address(), &LEFT).await;
    let answer = browser.send(sent.method, &sent.path, &sent.headers, sent.body).await;
    Some(Outcome { answer, before })
}

async fn requests(gateway: &Gateway, her: &mut Browser<'_>) -> Requests {
    let (hers, his) = (begin(her, LOGIN).await, begin(&mut gateway.browser(), LOGIN).await);
    let elsewhere = begin(her, &format!("/connections/{STRICT}/saml/login")).await;
    let answered = begin(her, LOGIN).await;
    let mut first = ada(gateway, &[]);
    first.in_response_to = Some(answered.clone());
    let cookies = her.cookies.clone();
    assert_eq!(house::post(her, &first, Sign::Both).await.status, StatusCode::SEE_OTHER);
    her.cookies = cookies;
    Requests { hers, his, elsewhere, answered }
}

/// Runs the cases one after another on one installation, and says of each that fails why.
async fn run(engine: Engine, cases: Vec<Case>) {
    let gateway = open(engine).await;
    let mut wrong = Vec::new();
    for case in cases {
        if let Err(why) = judge(&gateway, &case).await {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn judge(gateway: &Gateway, case: &Case) -> Result<(), String> {
    let control = send(gateway, case, Kind::Control).await.answer;
    if control.status != StatusCode::SEE_OTHER {
        return Err(format!("the control is refused: {:?}", newest_in_log(gateway).await));
    }
    let sent = send(gateway, case, Kind::Hostile).await;
    if sent.answer.status != case.status {
        return Err(format!("answered {}: {:?}", sent.answer.status, newest_in_log(gateway).await));
    }
    assert_same(&sent.before, &dump(gateway.address(), &LEFT).await, &case.name);
    if case.status != StatusCode::FORBIDDEN {
        return Ok(());
    }
    assert_refused(&sent.answer);
    let (step, message) = newest_in_log(gateway).await;
    if step.as_deref() == Some(case.step) && message.contains(case.says) { Ok(()) } else { Err(format!("{step:?}: {message}")) }
}

/// Step and words of the latest sign-in, at whichever connection.
async fn newest_in_log(gateway: &Gateway) -> (Option<String>, String) {
    gateway.settle().await;
    let sql = "select step, message from sign_in_log order by at_ms desc, id desc limit 1";
    gateway.app.db.query(sql).optional().await.unwrap().unwrap()
}

type Cases = fn() -> Vec<Case>;

const CLASSES: [(&str, Cases); 11] = [
    ("wrapping and stripping", wrapping::cases),
    ("text", text::cases),
    ("grammar", grammar::cases),
    ("algorithms", algorithms::cases),
    ("keys", keys::cases),
    ("encrypted", encrypted::cases),
    ("conditions", conditions::cases),
    ("answers", answers::cases),
    ("names", names::cases),
    ("bytes", bytes::cases),
    ("transport", transport::cases),
];

#[rstest]
#[case::wrapping_and_stripping(wrapping::cases)]
#[case::text(text::cases)]
#[case::grammar(grammar::cases)]
#[case::algorithms(algorithms::cases)]
#[case::keys(keys::cases)]
#[case::encrypted(encrypted::cases)]
#[case::conditions(conditions::cases)]
#[case::answers(answers::cases)]
#[case::names(names::cases)]
#[case::bytes(bytes::cases)]
#[case::transport(transport::cases)]
#[tokio::test]
async fn each_altered_message_is_refused_and_its_control_accepted(#[case] cases: Cases) {
    run(Engine::Sqlite, cases()).await;
}

/// What is decrypted is a document of its own, so that an ID of it may be one of the message around it.
const NO_MATTER: &str = "the Response and the assertion with one ID";

/// The whole corpus once more, the assertion encrypted for us: neither what is refused in clear is accepted then, nor what is accepted
/// refused.
#[tokio::test]
async fn what_is_refused_in_clear_is_refused_inside_an_encrypted_assertion() {
    let gateway = open(Engine::Sqlite).await;
    let (mut wrong, mut judged) = (Vec::new(), 0);
    for (class, cases) in CLASSES {
        for case in cases() {
            let encrypted = |scene: &Scene, sent: Sent| encrypted::with_encrypted_assertion(&scene.message, &sent);
            let Some(control) = send_as(&gateway, &case, Kind::Control, encrypted).await else { continue };
            let Some(hostile) = send_as(&gateway, &case, Kind::Hostile, encrypted).await else { continue };
            judged += 1;
            if case.name == NO_MATTER && hostile.answer.status == StatusCode::SEE_OTHER {
                continue;
            }
            if control.answer.status != StatusCode::SEE_OTHER || hostile.answer.status != StatusCode::FORBIDDEN {
                let log = newest_in_log(&gateway).await;
                wrong.push(format!("{class}: {}: {} {} {log:?}", case.name, control.answer.status, hostile.answer.status));
                continue;
            }
            assert_refused(&hostile.answer);
            assert_same(&hostile.before, &dump(gateway.address(), &LEFT).await, &case.name);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(judged >= 100, "{judged} of the corpus");
}

/// The classes in which the database has a word.
#[rstest]
#[case::keys(keys::cases)]
#[case::answers(answers::cases)]
#[case::names(names::cases)]
#[tokio::test]
async fn on_postgres_too(#[case] cases: Cases) {
    run(Engine::Postgres, cases()).await;
}

#[test]
fn the_corpus_is_large_and_says_nothing_twice() {
    let names: Vec<_> =
        CLASSES.iter().flat_map(|(class, cases)| cases().into_iter().map(move |case| format!("{class}: {}", case.name))).collect();
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "a name stands twice");
    assert!(names.len() >= 150, "{} altered messages", names.len());
}

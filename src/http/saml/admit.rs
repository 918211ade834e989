//! The one transaction of a sign-in: the request and the assertion are used up, the account found or made and brought up to date, the
//! session opened. The database decides who was first, so that two nodes and a restart change nothing.

use std::time::Duration;

use axum::http::HeaderMap;
use serde_json::json;
use tokio::time::Instant;

use super::{acs::Failure, browser, refusal::SignInRefusal, resume, verify::Verified};
use crate::{
    admin::session::{self, SignedIn},
    app::App,
    db::{self, DbError, Tx},
    domain::{
        actor::Occasion,
        connection::Connection,
        id::{AccountId, CertificateId, SpKeyId},
        secret::Secret,
        time::Timestamp,
    },
    http::{caller, error::Problem, local_path::LocalPath, queue::Busy},
    keys,
    provision::{
        ProvisionError,
        sign_in::{self, SignIn},
    },
    saml::Assertion,
};

/// How often the transaction is tried when others are in its way.
const ATTEMPTS: u32 = 3;
/// What took so long waited for a lock: waiting as long again would keep others from the connection.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub struct Admitted {
    pub account: AccountId,
    pub created: bool,
    /// For the cookie of the session.
    pub secret: Secret<String>,
    pub expires_at: Timestamp,
    pub return_to: Option<LocalPath>,
    /// The request that was answered.
    pub answered: Option<String>,
    pub verified_with: CertificateId,
    pub decrypted_with: Option<SpKeyId>,
}

#[derive(Debug)]
pub enum Outcome {
    Admitted(Admitted),
    Refused(SignInRefusal),
    /// It is another one than the response was verified for.
    ConnectionChanged,
}

pub async fn admit(
    app: &App,
    connection: &Connection,
    verified: &Verified,
    headers: &HeaderMap,
    occasion: &mut Occasion,
) -> Result<Outcome, Failure> {
    let began = Instant::now();
    let busy = || Failure::from(Problem::unavailable("Others are signing in to the same account; try again."));
    let subject = format!("{} {}", connection.id, verified.claim.subject);
    let _turn = app.queues.enter(subject).await.map_err(|Busy| busy())?;
    let mut attempt = 1;
    loop {
        match attempt_once(app, connection, verified, headers, occasion).await {
            Err(ProvisionError::Again) if attempt < ATTEMPTS && began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(5 << attempt)).await;
                attempt += 1;
            }
            Err(ProvisionError::Again) => return Err(busy()),
            Err(ProvisionError::Db(error)) => {
                if matches!(error, DbError::Uncertain(_)) {
                    resume::note(app, connection, occasion);
                }
                return Err(error.into());
            }
            Err(error) => return Err(Problem::internal(&error).into()),
            Ok(outcome) => return Ok(outcome),
        }
    }
}

/// A refusal is committed too: the response is used up, and what it takes away is taken away.
async fn attempt_once(
    app: &App,
    connection: &Connection,
    verified: &Verified,
    headers: &HeaderMap,
    occasion: &mut Occasion,
) -> Result<Outcome, ProvisionError> {
    let assertion = &verified.assertion;
    let mut tx = app.db.begin().await?;
    let versions = db::model::ask_versions(&mut tx, connection.tenant, connection.id).await?;
    let sought = sign_in::seek(&mut tx, connection, &verified.claim).await?;
    let browser = assertion.in_response_to.as_deref().and_then(|request| browser::find(app, headers, request));
    let secret = match &browser {
        Some(browser) => app.keys.session_secret(browser, &assertion.id),
        None => keys::secret(app.random.bytes()),
    };
    let consumed = consume(app, &mut tx, connection, assertion, browser.as_ref(), occasion.now).await?;
    let published = app.published.receive(&mut tx, connection.tenant, connection.id, versions).await?;
    let Some(published) = published.filter(|published| published.connection.version == connection.version) else {
        return Ok(Outcome::ConnectionChanged);
    };
    let Remembered { return_to, former_session } = match consumed {
        Consumed::Fresh(remembered) => remembered,
        Consumed::Used => {
            drop(tx);
            return Ok(resume::answer(app, connection, assertion, secret, occasion.now).await?);
        }
        Consumed::Refused(refusal) => {
            tx.commit().await?;
            return Ok(Outcome::Refused(refusal));
        }
    };
    if let Some(expired_at) = assertion.certificate_expired_at {
        let detail = json!({ "certificate": assertion.verified_with, "expired_at": expired_at.to_string() });
        let kind = "certificate.expired_in_use";
        db::attention::raise(&mut tx, connection.tenant, occasion, kind, Some(connection.id), None, &detail).await?;
        tracing::warn!(
            connection.id = %connection.id,
            certificate.id = %assertion.verified_with,
            "a sign-in was verified with a certificate that has expired: add the identity provider's new one before it is refused"
        );
    }
    let outcome = match sign_in::sign_in(&mut tx, &published, occasion, verified.claim.clone(), sought).await? {
        SignIn::Refused(refused) => Outcome::Refused(SignInRefusal::new("account", refused.to_string()).using_up()),
        SignIn::Admitted { account, created } => {
            let ttl_end = occasion.now.plus_secs(connection.saml.session_ttl_secs);
            let expires_at = assertion.session_not_on_or_after.map_or(ttl_end, |end| end.min(ttl_end));
            let signed_in = SignedIn {
                id: occasion.ids.make(),
                tenant: connection.tenant,
                account,
                connection: Some((connection.id, connection.version)),
                surface: connection.audience,
                session_index: assertion.session_index.clone(),
                name_id: assertion.name_identifier(),
                expires_at,
                former_sessions: former_session.into_iter().chain(caller::session::cookie_hash(app, headers)).collect(),
            };
            let expires_at = session::open(&mut tx, &published.model.settings, occasion, signed_in, &secret).await?;
            let answered = assertion.in_response_to.clone();
            Outcome::Admitted(Admitted {
                account,
                created,
                secret,
                expires_at,
                return_to,
                answered,
                verified_with: assertion.verified_with,
                decrypted_with: assertion.decrypted_with,
            })
        }
    };
    tx.commit().await?;
    Ok(outcome)
}

/// What became of an assertion.
enum Consumed {
    /// It was not used before.
    Fresh(Remembered),
    Used,
    Refused(SignInRefusal),
}

/// What the answered request remembered. It is empty if the identity provider started the sign-in.
#[derive(Debug, Default)]
struct Remembered {
    return_to: Option<LocalPath>,
    /// Hash of the cookie of the session that the browser had.
    former_session: Option<String>,
}

/// Uses up the assertion, whatever becomes of it, and the request that is answered.
async fn consume(
    app: &App,
    tx: &mut Tx,
    connection: &Connection,
    assertion: &Assertion,
    browser: Option<&Secret<String>>,
    now: Timestamp,
) -> Result<Consumed, ProvisionError> {
    let (tenant, id) = (connection.tenant, connection.id);
    if !db::sign_in::consume_assertion(tx, tenant, id, &assertion.issuer, &assertion.id, assertion.remembered_until).await? {
        return Ok(Consumed::Used);
    }
    // The verification and this transaction waited for their turns.
    if assertion.usable_until <= app.now() {
        return Ok(Consumed::Refused(SignInRefusal::too_late("the assertion expired while it was worked on").using_up()));
    }
    let refuse = |step, message: &str| Ok(Consumed::Refused(SignInRefusal::new(step, message).using_up()));
    match &assertion.in_response_to {
        Some(request) => {
            let Some(secret) = browser else {
                return refuse(
                    "in_response_to",
                    "the response answers a request that this browser did not begin, or too long ago: begin again, in one browser, with cookies allowed",
                );
            };
            let browser = keys::hash(secret.expose());
            match db::sign_in::consume_authn_request(tx, tenant, id, request, &browser, now).await? {
                Some(row) => {
                    let return_to = row.return_to.as_deref().and_then(LocalPath::parse);
                    Ok(Consumed::Fresh(Remembered { return_to, former_session: row.former_session }))
                }
                None => refuse("in_response_to", "the request that the response answers is unknown, answered already or too old"),
            }
        }
        None if connection.saml.idp_initiated => Ok(Consumed::Fresh(Remembered::default())),
        None => refuse(
            "in_response_to",
            "the response answers no request, and the connection does not let the identity provider begin (idp_initiated = false)",
        ),
    }
}

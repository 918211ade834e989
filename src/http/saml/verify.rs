//! A response's signature, conditions and identity, off the threads that serve requests: a call into C cannot be cut short, so no more of
//! them run than there are cores, and a panic ends that one alone.

use super::{Addresses, acs::Failure, refusal::SignInRefusal};
use crate::{
    app::App,
    domain::connection::Connection,
    http::error::Problem,
    provision::sign_in::Claim,
    saml::{self, Assertion, Party, Refusal, Work},
};

/// What a verified response says.
#[derive(Debug, Clone)]
pub struct Verified {
    pub assertion: Assertion,
    pub claim: Claim,
}

/// Judged by the time when its turn comes.
pub async fn verify(app: &App, connection: &Connection, saml_response: &str) -> Result<Verified, Failure> {
    let certificates = app.trusted.read(&app.db, connection).await?;
    let own = app.own_keys.read(&app.db, &app.keys, connection).await?;
    let addresses = Addresses::of(&app.config.public_url, &connection.slug);
    let (connection, saml_response, clock) = (connection.clone(), saml_response.to_owned(), app.clock.clone());
    let work = move || {
        let party = Party {
            sp_entity_id: &addresses.entity_id,
            acs_url: &addresses.acs_url,
            idp_entity_id: &connection.saml.idp_entity_id,
            certificates: &certificates,
            skew_secs: connection.saml.skew_secs,
            subject_from_attribute: connection.saml.subject_attribute.is_some(),
            decryption_keys: &own.decrypting,
            allow_cbc: connection.saml.allow_cbc,
            authn_contexts: connection.saml.required_contexts(),
            expired_certificate_days: connection.saml.expired_certificate_days,
        };
        let (judged, work) = Work::of(|| saml::verify(&saml_response, &party, clock.now()));
        tracing::debug!(
            saml.bytes = work.bytes,
            saml.nodes = work.nodes,
            saml.digests = work.digests,
            saml.key_operations = work.key_operations,
            "a response was judged"
        );
        let assertion = judged?;
        let claim = claim(&assertion, &connection)?;
        Ok::<_, Refusal>(Verified { assertion, claim })
    };
    let turn = app.verifications.clone().acquire_owned().await;
    let turn = turn.map_err(|_| Problem::unavailable("The gateway is ending; try again."))?;
    let outcome = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    match outcome.await {
        Ok(verified) => verified.map_err(|refusal| SignInRefusal::from(refusal).into()),
        Err(error) => {
            tracing::error!(panicked = error.is_panic(), "the verification of a response came to no end");
            Err(SignInRefusal::new("verification", "the response could not be judged: the verification of it came to no end").into())
        }
    }
}

fn claim(assertion: &Assertion, connection: &Connection) -> Result<Claim, Refusal> {
    let (subject, identity) = saml::identity(assertion, connection)?;
    let name = connection.saml.correlate.as_ref().map_or("NameID", |correlate| correlate.saml.as_str());
    let correlation = saml::identity::value_of(assertion, name)?.map(str::to_owned);
    Ok(Claim { subject: subject.as_str().to_owned(), correlation, identity })
}

//! Whether an assertion holds for this service provider, at this time: issuer, audience, recipient, destination, the clocks, and which
//! request it answers. Every rule fails closed. Whether the request is outstanding, and whether the assertion was seen before, the database decides.

use super::{
    Party,
    assertion::{Assertion, Authn, Claims, Conditions, Confirmation, Envelope, Provenance},
    refusal::{Refusal, Step},
    structure::SUCCESS,
};
use crate::domain::{connection::MAX_SKEW_SECS, time::Timestamp};

const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";

fn refuse(code: &'static str, what: impl Into<String>) -> Refusal {
    Refusal::new(Step::Conditions, code, what)
}

/// The status comes first: without success there is nothing else to judge.
pub(super) fn check_status(envelope: &Envelope) -> Result<(), Refusal> {
    if envelope.status.first().map(String::as_str) == Some(SUCCESS) {
        return Ok(());
    }
    // StatusMessage can name persons and is nobody's signed word: the codes say enough.
    Err(refuse("status", "the identity provider reports that sign-in failed")
        .got(envelope.status.join(" / "))
        .cure("its own log says why, often the person is not assigned to this application"))
}

/// Judges an assertion in its envelope.
pub(super) fn check(
    envelope: &Envelope,
    claims: Claims,
    party: &Party<'_>,
    now: Timestamp,
    provenance: Provenance,
) -> Result<Assertion, Refusal> {
    check_status(envelope)?;
    check_envelope(envelope, party, now)?;
    check_version("Assertion", &claims.version)?;
    check_issuer("Assertion", &claims.issuer, party)?;
    check_issue_instant("Assertion", claims.issue_instant, party, now)?;
    let conditions = claims.conditions.as_ref().ok_or_else(|| refuse("no_conditions", "Conditions are missing in the Assertion"))?;
    check_conditions(conditions, party, now)?;
    let confirmed_until = check_confirmations(&claims.confirmations, party, now)?;
    let in_response_to = in_response_to(envelope, &claims.confirmations)?;
    if claims.name_id.is_none() && !party.subject_from_attribute {
        return Err(refuse("no_name_id", "NameID is missing in the Subject")
            .cure("let the identity provider send a NameID, or take the subject from an attribute"));
    }
    let authn = claims.authn.first().ok_or_else(|| refuse("no_authn_statement", "AuthnStatement is missing in the Assertion"))?;
    check_authn_context(authn, party)?;
    let session_end = claims.authn.iter().filter_map(|authn| authn.session_not_on_or_after).min();
    // Without tolerance: a session that has ended by our clock would be over before its first request.
    if let Some(end) = session_end
        && now >= end
    {
        return Err(expired("session_expired", "SessionNotOnOrAfter", end, now));
    }
    let until = conditions.not_on_or_after.map_or(confirmed_until, |end| end.min(confirmed_until));
    Ok(Assertion {
        usable_until: until.plus_secs(party.skew_secs),
        remembered_until: until.plus_secs(MAX_SKEW_SECS),
        session_index: authn.session_index.clone(),
        session_not_on_or_after: session_end,
        in_response_to,
        authn_instant: authn.instant,
        authn_context: authn.context.clone(),
        id: claims.id,
        issuer: claims.issuer,
        name_id: claims.name_id,
        qualifiers: claims.qualifiers,
        attributes: claims.attributes,
        verified_with: provenance.certificate.id,
        certificate_expired_at: provenance.certificate.expired_at,
        decrypted_with: provenance.decrypted_with,
    })
}

fn check_envelope(envelope: &Envelope, party: &Party<'_>, now: Timestamp) -> Result<(), Refusal> {
    check_version("Response", &envelope.version)?;
    if let Some(issuer) = &envelope.issuer {
        check_issuer("Response", issuer, party)?;
    }
    check_issue_instant("Response", envelope.issue_instant, party, now)?;
    match &envelope.destination {
        Some(destination) if destination != party.acs_url => {
            Err(refuse("destination", "the Destination of the Response").got(destination).expected(party.acs_url))
        }
        // SAML bindings, 3.5.5.2: a signed message says where it was sent.
        None if envelope.signed => Err(refuse("destination", "the signed Response has no Destination").expected(party.acs_url)),
        Some(_) | None => Ok(()),
    }
}

/// SAML core, 3.3.2.2.1: with the comparison `exact`, which alone can be checked, what is returned is one of those asked for.
fn check_authn_context(authn: &Authn, party: &Party<'_>) -> Result<(), Refusal> {
    if party.authn_contexts.is_empty() {
        return Ok(());
    }
    let got = authn.context.as_deref().unwrap_or_default();
    if party.authn_contexts.iter().any(|wanted| wanted == got) {
        return Ok(());
    }
    Err(refuse("authn_context", "the AuthnContextClassRef")
        .got(got)
        .expected(party.authn_contexts.join(" or "))
        .cure("let the identity provider ask for the second factor that the connection requires, or do not require it (authn_context)"))
}

fn check_version(element: &str, version: &str) -> Result<(), Refusal> {
    if version == "2.0" { Ok(()) } else { Err(refuse("version", format!("the Version of the {element}")).got(version).expected("2.0")) }
}

fn check_issuer(element: &str, issuer: &str, party: &Party<'_>) -> Result<(), Refusal> {
    if issuer == party.idp_entity_id {
        return Ok(());
    }
    Err(refuse("issuer", format!("the Issuer of the {element}")).got(issuer).expected(party.idp_entity_id))
}

fn check_issue_instant(element: &str, instant: Timestamp, party: &Party<'_>, now: Timestamp) -> Result<(), Refusal> {
    if instant <= now.plus_secs(party.skew_secs) {
        return Ok(());
    }
    Err(early("issued_in_future", &format!("IssueInstant of the {element}"), instant, now))
}

fn check_conditions(conditions: &Conditions, party: &Party<'_>, now: Timestamp) -> Result<(), Refusal> {
    check_not_before("not_yet_valid", "NotBefore of Conditions", conditions.not_before, party, now)?;
    if let Some(end) = conditions.not_on_or_after
        && now >= end.plus_secs(party.skew_secs)
    {
        return Err(expired("expired", "NotOnOrAfter of Conditions", end, now));
    }
    if conditions.restrictions.is_empty() {
        return Err(refuse("no_audience", "AudienceRestriction is missing in Conditions").expected(party.sp_entity_id));
    }
    // SAML core, 2.5.1.4: audiences of one restriction are alternatives, restrictions all bind.
    for audiences in &conditions.restrictions {
        if !audiences.iter().any(|audience| audience == party.sp_entity_id) {
            return Err(refuse("audience", "the Audience").got(audiences.join(" ")).expected(party.sp_entity_id));
        }
    }
    Ok(())
}

/// One bearer confirmation must hold. Returns the latest end of any that could, which bounds a replay.
fn check_confirmations(confirmations: &[Confirmation], party: &Party<'_>, now: Timestamp) -> Result<Timestamp, Refusal> {
    let mut first_refusal = None;
    let mut held = false;
    for confirmation in confirmations.iter().filter(|confirmation| confirmation.method == BEARER) {
        match check_confirmation(confirmation, party, now) {
            Ok(()) => held = true,
            Err(refusal) => {
                first_refusal.get_or_insert(refusal);
            }
        }
    }
    let ends = confirmations.iter().filter(|confirmation| confirmation.method == BEARER).filter_map(|c| c.not_on_or_after);
    match (held, ends.max()) {
        (true, Some(end)) => Ok(end),
        _ => Err(first_refusal.unwrap_or_else(|| refuse("no_bearer", "the Subject has no bearer SubjectConfirmation"))),
    }
}

fn check_confirmation(confirmation: &Confirmation, party: &Party<'_>, now: Timestamp) -> Result<(), Refusal> {
    match &confirmation.recipient {
        Some(recipient) if recipient == party.acs_url => {}
        Some(recipient) => return Err(refuse("recipient", "the Recipient").got(recipient).expected(party.acs_url)),
        None => return Err(refuse("recipient", "Recipient is missing in SubjectConfirmationData").expected(party.acs_url)),
    }
    check_not_before("not_yet_valid", "NotBefore of SubjectConfirmationData", confirmation.not_before, party, now)?;
    let Some(end) = confirmation.not_on_or_after else {
        return Err(refuse("no_expiry", "NotOnOrAfter is missing in SubjectConfirmationData"));
    };
    if now >= end.plus_secs(party.skew_secs) {
        return Err(expired("expired", "NotOnOrAfter of SubjectConfirmationData", end, now));
    }
    Ok(())
}

fn check_not_before(code: &'static str, what: &str, start: Option<Timestamp>, party: &Party<'_>, now: Timestamp) -> Result<(), Refusal> {
    match start {
        Some(start) if now.plus_secs(party.skew_secs) < start => Err(early(code, what, start, now)),
        Some(_) | None => Ok(()),
    }
}

fn early(code: &'static str, what: &str, at: Timestamp, now: Timestamp) -> Refusal {
    refuse(code, what).got(at.to_string()).expected(format!("not after {now}")).cure("compare the clocks of both sides")
}

fn expired(code: &'static str, what: &str, at: Timestamp, now: Timestamp) -> Refusal {
    refuse(code, what).got(at.to_string()).expected(format!("after {now}")).cure("compare the clocks of both sides, or sign in afresh")
}

/// Every InResponseTo that is present says the same, and one of them stands in signed bytes.
fn in_response_to(envelope: &Envelope, confirmations: &[Confirmation]) -> Result<Option<String>, Refusal> {
    let differ = |a: &str, b: &str| Refusal::new(Step::InResponseTo, "in_response_to", "two InResponseTo differ").got(a).expected(b);
    let mut signed: Option<&str> = envelope.in_response_to.as_deref().filter(|_| envelope.signed);
    for id in confirmations.iter().filter_map(|confirmation| confirmation.in_response_to.as_deref()) {
        match signed {
            Some(other) if other != id => return Err(differ(id, other)),
            Some(_) | None => signed = Some(id),
        }
    }
    match (signed, envelope.in_response_to.as_deref()) {
        (None, Some(_)) => {
            Err(Refusal::new(Step::InResponseTo, "in_response_to_unsigned", "InResponseTo stands only on the unsigned Response")
                .cure("let the identity provider sign the Response too, or put InResponseTo into SubjectConfirmationData"))
        }
        (Some(id), Some(outer)) if id != outer => Err(differ(outer, id)),
        (signed, _) => Ok(signed.map(str::to_owned)),
    }
}

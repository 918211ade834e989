//! Single Logout: what an identity provider sends, judged by the same steps as a response (bounds and closed grammar before any
//! cryptography, pinned certificates, then only what was signed), and what we send.
//!
//! Whether a message was seen before, and whose sessions end, the database decides.

use std::io::Read as _;

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::DeflateDecoder;
use percent_encoding::percent_decode_str;
use quick_xml::escape::escape;

use super::{
    decode,
    element::{Element, Ns},
    key_pair::KeyPair,
    refusal::{Refusal, Step},
    request::redirect_query,
    scan::{self, Grammar},
    sign::{self, SignError},
    signature::{self, IdpCertificate, Trust},
    structure::{self, Root, SUCCESS},
};
use crate::domain::{connection::MAX_SKEW_SECS, identity::NameIdentifier, time::Timestamp};

use Ns::{Assertion as A, Protocol as P};

/// Logout messages are small: 64 sessions of a long subject fit.
const MAX_XML: u64 = 64 * 1024;
/// Of a message that does not say how long it holds.
const HOLDS_SECS: i64 = 600;

/// Which way a message came, and as what.
#[derive(Debug, Clone, Copy)]
pub enum Sent<'a> {
    /// The field of a form, decoded.
    Post(&'a str),
    /// The query as it stood in the address: its signature is over these octets.
    Redirect(&'a str),
}

/// The two sides of one connection, as far as logout messages are judged by them.
#[derive(Debug, Clone)]
pub struct LogoutParty<'a> {
    pub logout_url: &'a str,
    pub idp_entity_id: &'a str,
    /// The pinned ones.
    pub certificates: &'a [IdpCertificate],
    pub skew_secs: i64,
    /// So many days an expired certificate goes on verifying.
    pub expired_certificate_days: i64,
}

/// The identity provider's word that a person is to be signed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutRequest {
    pub id: String,
    pub issuer: String,
    pub name_id: NameIdentifier,
    /// Which sessions; none: all of the person.
    pub session_indexes: Vec<String>,
    /// From then on it is refused.
    pub usable_until: Timestamp,
    /// How long to keep the replay record: whatever tolerance the connection is given meanwhile, it is refused by then.
    pub remembered_until: Timestamp,
}

impl LogoutRequest {
    /// Whether it speaks of whom a session was opened for: the value always, format and qualifiers where both say them.
    #[must_use]
    pub fn names(&self, session: &NameIdentifier) -> bool {
        const UNSPECIFIED: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified";
        let specified = |format: &Option<String>| format.clone().filter(|format| format != UNSPECIFIED);
        let agree = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
        self.name_id.value == session.value
            && agree(&specified(&self.name_id.format), &specified(&session.format))
            && agree(&self.name_id.name_qualifier, &session.name_qualifier)
            && agree(&self.name_id.sp_name_qualifier, &session.sp_name_qualifier)
    }
}

/// The identity provider's answer to a request of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutResponse {
    pub in_response_to: String,
    /// The person is signed out everywhere.
    pub success: bool,
    /// The status code and the codes below it.
    pub status: Vec<String>,
}

/// # Errors
/// With the first step that refuses.
pub fn read_request(sent: Sent<'_>, party: &LogoutParty<'_>, now: Timestamp) -> Result<LogoutRequest, Refusal> {
    let root = verify(sent, "SAMLRequest", Root::LogoutRequest, party, now)?;
    let issue_instant = check_envelope(&root, party, now)?;
    let end = time(&root, "NotOnOrAfter")?.unwrap_or(issue_instant.plus_secs(HOLDS_SECS));
    let usable_until = end.plus_secs(party.skew_secs);
    if usable_until <= now {
        return Err(refuse("expired", "the LogoutRequest")
            .got(end.to_string())
            .expected(format!("after {now}"))
            .cure("compare the clocks of both sides"));
    }
    let name_id = root.child(A, "NameID").ok_or_else(|| refuse("no_name_id", "NameID is missing in the LogoutRequest"))?;
    let text = |name| name_id.attribute(name).map(str::to_owned);
    Ok(LogoutRequest {
        id: root.attribute("ID").unwrap_or_default().to_owned(),
        issuer: issuer(&root),
        name_id: NameIdentifier {
            value: name_id.text.clone(),
            format: text("Format"),
            name_qualifier: text("NameQualifier"),
            sp_name_qualifier: text("SPNameQualifier"),
        },
        session_indexes: root.children(P, "SessionIndex").map(|index| index.text.clone()).collect(),
        usable_until,
        remembered_until: end.plus_secs(MAX_SKEW_SECS),
    })
}

/// # Errors
/// With the first step that refuses.
pub fn read_response(sent: Sent<'_>, party: &LogoutParty<'_>, now: Timestamp) -> Result<LogoutResponse, Refusal> {
    let root = verify(sent, "SAMLResponse", Root::LogoutResponse, party, now)?;
    check_envelope(&root, party, now)?;
    let in_response_to = root.attribute("InResponseTo").map(str::to_owned);
    let mut status = Vec::new();
    let mut code = root.child(P, "Status").and_then(|status| status.child(P, "StatusCode"));
    while let Some(element) = code {
        status.extend(element.attribute("Value").map(str::to_owned));
        code = element.child(P, "StatusCode");
    }
    // SAML core, 3.7.3.2: a second-level PartialLogout may stand below Success.
    let success = status.first().map(String::as_str) == Some(SUCCESS) && status.len() == 1;
    let in_response_to = in_response_to
        .ok_or_else(|| Refusal::new(Step::InResponseTo, "in_response_to", "InResponseTo is missing in the LogoutResponse"))?;
    Ok(LogoutResponse { in_response_to, success, status })
}

fn refuse(code: &'static str, what: impl Into<String>) -> Refusal {
    Refusal::new(Step::Conditions, code, what)
}

/// The root of what was signed. Both ways the whole message is judged by bounds and grammar before a key is used.
fn verify(sent: Sent<'_>, name: &str, kind: Root, party: &LogoutParty<'_>, now: Timestamp) -> Result<Element, Refusal> {
    match sent {
        Sent::Post(value) => {
            let text = decode(value)?;
            if text.len() as u64 > MAX_XML {
                return Err(too_long());
            }
            let root = scan::read(&text, Grammar::Closed(kind))?;
            let families = structure::check(&root)?;
            if !signature::is_signed(&root) {
                return Err(unsigned(kind));
            }
            let trust = Trust { certificates: party.certificates, expired_days: party.expired_certificate_days, now };
            Ok(signature::verify(&text, &root, &families, trust)?.root)
        }
        Sent::Redirect(query) => {
            let text = inflate(message_of(query, name)?)?;
            let root = scan::read(&text, Grammar::Closed(kind))?;
            structure::check(&root)?;
            let ends = |known: &IdpCertificate| known.certificate.not_after().plus_secs(party.expired_certificate_days * 86_400);
            let usable: Vec<_> = party.certificates.iter().filter(|known| now < ends(known)).cloned().collect();
            // SAML bindings, 3.4.4.1: the signature in the query is the only one that counts, and it is over these octets.
            sign::verify_redirect(query, &usable)?;
            Ok(root)
        }
    }
}

fn unsigned(kind: Root) -> Refusal {
    Refusal::new(Step::Signature, "unsigned", format!("the {} is not signed", kind.rule().name))
        .cure("let the identity provider sign its logout messages")
}

fn too_long() -> Refusal {
    Refusal::new(Step::Encoding, "too_long", format!("the message is longer than {} KiB", MAX_XML / 1024))
}

/// The value of the message in a query, by its name as it stands there: a name in disguise is another parameter, here as where the
/// signature is verified.
fn message_of<'a>(query: &'a str, name: &str) -> Result<&'a str, Refusal> {
    let mut found = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(known, _)| *known == name).map(|(_, value)| value);
    let refuse = |code, what: String| Refusal::new(Step::Encoding, code, what);
    let value = found.next().ok_or_else(|| refuse("no_message", format!("there is no {name} in the query")))?;
    if found.next().is_some() {
        return Err(refuse("repeated", format!("{name} stands twice in the query")));
    }
    Ok(value)
}

/// SAML bindings, 3.4.4.1: percent-encoding, base64, DEFLATE; bounded before and after.
fn inflate(value: &str) -> Result<String, Refusal> {
    let refuse = |code, what: &str| Refusal::new(Step::Encoding, code, what);
    if value.len() as u64 > 2 * MAX_XML {
        return Err(too_long());
    }
    let text = percent_decode_str(value).decode_utf8().map_err(|_| refuse("utf8", "the message in the query is not UTF-8"))?;
    // Some senders wrap base64, others forget to escape `+`.
    let compact: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).map(|c| if c == ' ' { '+' } else { c }).collect();
    let deflated = STANDARD.decode(compact).map_err(|_| refuse("base64", "the message in the query is not base64"))?;
    let mut bytes = Vec::new();
    let mut inflater = DeflateDecoder::new(&deflated[..]).take(MAX_XML + 1);
    inflater.read_to_end(&mut bytes).map_err(|_| refuse("deflate", "the message in the query is not deflated"))?;
    if bytes.len() as u64 > MAX_XML {
        return Err(too_long());
    }
    String::from_utf8(bytes).map_err(|_| refuse("utf8", "the message in the query is not UTF-8"))
}

/// Version, Issuer, Destination and IssueInstant. When it was issued.
fn check_envelope(root: &Element, party: &LogoutParty<'_>, now: Timestamp) -> Result<Timestamp, Refusal> {
    let name = &root.name;
    match root.attribute("Version").unwrap_or_default() {
        "2.0" => {}
        other => return Err(refuse("version", format!("the Version of the {name}")).got(other).expected("2.0")),
    }
    let issuer = issuer(root);
    if issuer != party.idp_entity_id {
        return Err(refuse("issuer", format!("the Issuer of the {name}")).got(issuer).expected(party.idp_entity_id));
    }
    // SAML bindings, 3.4.5.2 and 3.5.5.2: a signed message says where it was sent.
    match root.attribute("Destination") {
        Some(destination) if destination == party.logout_url => {}
        Some(destination) => {
            return Err(refuse("destination", format!("the Destination of the {name}")).got(destination).expected(party.logout_url));
        }
        None => return Err(refuse("destination", format!("the {name} has no Destination")).expected(party.logout_url)),
    }
    let instant = time(root, "IssueInstant")?.ok_or_else(|| refuse("time", format!("IssueInstant of the {name} is missing")))?;
    if instant > now.plus_secs(party.skew_secs) {
        return Err(refuse("issued_in_future", format!("IssueInstant of the {name}"))
            .got(instant.to_string())
            .expected(format!("not after {now}"))
            .cure("compare the clocks of both sides"));
    }
    Ok(instant)
}

fn issuer(root: &Element) -> String {
    root.child(A, "Issuer").map(|issuer| issuer.text.clone()).unwrap_or_default()
}

fn time(element: &Element, name: &'static str) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = element.attribute(name) else { return Ok(None) };
    let read = Timestamp::parse(text);
    read.map(Some).map_err(|_| refuse("time", format!("{name} of the {}", element.name)).got(text).expected("a date and time with a zone"))
}

/// A message of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub id: String,
    pub destination: String,
    /// Our entity ID.
    pub issuer: String,
    pub issue_instant: Timestamp,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Asks that somebody be signed out.
    Request { name_id: NameIdentifier, session_index: Option<String> },
    /// Says that it was done.
    Response { in_response_to: String },
}

impl Outgoing {
    /// The name of its parameter or field.
    #[must_use]
    pub fn parameter(&self) -> &'static str {
        match self.content {
            Content::Request { .. } => "SAMLRequest",
            Content::Response { .. } => "SAMLResponse",
        }
    }

    #[must_use]
    pub fn to_xml(&self) -> String {
        let attribute = |name: &str, value: Option<&str>| value.map_or_else(String::new, |value| format!(r#" {name}="{}""#, escape(value)));
        let (name, attributes, body) = match &self.content {
            Content::Request { name_id, session_index } => {
                let qualifiers = attribute("NameQualifier", name_id.name_qualifier.as_deref())
                    + &attribute("SPNameQualifier", name_id.sp_name_qualifier.as_deref())
                    + &attribute("Format", name_id.format.as_deref());
                let index = session_index
                    .as_deref()
                    .map_or_else(String::new, |index| format!("<samlp:SessionIndex>{}</samlp:SessionIndex>", escape(index)));
                let end = format!(r#" NotOnOrAfter="{}""#, self.issue_instant.plus_secs(HOLDS_SECS));
                ("LogoutRequest", end, format!("<saml:NameID{qualifiers}>{}</saml:NameID>{index}", escape(&*name_id.value)))
            }
            Content::Response { in_response_to } => {
                let status = format!(r#"<samlp:Status><samlp:StatusCode Value="{SUCCESS}"/></samlp:Status>"#);
                ("LogoutResponse", attribute("InResponseTo", Some(in_response_to.as_str())), status)
            }
        };
        format!(
            r#"<samlp:{name} xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{id}" Version="2.0" IssueInstant="{instant}" Destination="{destination}"{attributes}><saml:Issuer>{issuer}</saml:Issuer>{body}</samlp:{name}>"#,
            id = escape(&*self.id),
            instant = self.issue_instant,
            destination = escape(&*self.destination),
            issuer = escape(&*self.issuer),
        )
    }

    /// The address to which the browser is sent, signed where there is a key.
    ///
    /// # Errors
    /// When openssl refuses to sign.
    pub fn redirect_url(&self, relay_state: Option<&str>, key: Option<&KeyPair>) -> Result<String, SignError> {
        let query = redirect_query(self.parameter(), &self.to_xml(), relay_state);
        let query = key.map_or_else(|| Ok(query.clone()), |key| sign::sign_redirect(&query, key))?;
        let separator = if self.destination.contains('?') { '&' } else { '?' };
        Ok(format!("{}{separator}{query}", self.destination))
    }

    /// The value of the form's field, signed where there is a key.
    ///
    /// # Errors
    /// When xmlsec refuses to sign.
    pub fn form_value(&self, key: Option<&KeyPair>) -> Result<String, SignError> {
        let xml = self.to_xml();
        let xml = match key {
            Some(key) => sign::sign_xml(&xml, &self.id, key)?,
            None => xml,
        };
        Ok(STANDARD.encode(xml))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::DeflateEncoder};
    use percent_encoding::utf8_percent_encode;

    use super::{
        super::{issuer::IssuerKey, sign::QUERY},
        *,
    };
    use crate::domain::id::CertificateId;

    const URL: &str = "https://sp.example/logout";
    const IDP: &str = "https://idp.example/metadata?a&b";

    fn now() -> Timestamp {
        Timestamp::parse("2026-03-03T08:00:00Z").unwrap()
    }

    fn pinned(key: &IssuerKey) -> Vec<IdpCertificate> {
        let id = CertificateId::parse("0190f2b4-6c1e-7b3a-9d55-2f1d3c4b5a69").unwrap();
        vec![IdpCertificate { id, certificate: key.certificate().clone() }]
    }

    fn party(certificates: &[IdpCertificate]) -> LogoutParty<'_> {
        LogoutParty { logout_url: URL, idp_entity_id: IDP, certificates, skew_secs: 60, expired_certificate_days: 14 }
    }

    fn ada() -> NameIdentifier {
        NameIdentifier {
            value: "ada<b>&\"c".into(),
            format: Some("urn:f".into()),
            name_qualifier: None,
            sp_name_qualifier: Some("sp".into()),
        }
    }

    fn request(name_id: &NameIdentifier) -> Outgoing {
        let content = Content::Request { name_id: name_id.clone(), session_index: Some("i&1".into()) };
        Outgoing { id: "_1".into(), destination: URL.into(), issuer: IDP.into(), issue_instant: now(), content }
    }

    fn query(url: &str) -> &str {
        url.split_once('?').unwrap().1
    }

    #[test]
    fn a_request_is_read_as_it_was_written_both_ways_with_both_kinds_of_key() {
        let name_id = ada();
        for key in [IssuerKey::rsa("idp", now()).unwrap(), IssuerKey::ec("idp", now()).unwrap()] {
            let pinned = pinned(&key);
            let posted = request(&name_id).form_value(Some(key.pair())).unwrap();
            let url = request(&name_id).redirect_url(Some("/a?b&c=d"), Some(key.pair())).unwrap();
            for sent in [Sent::Post(&posted), Sent::Redirect(query(&url))] {
                let read = read_request(sent, &party(&pinned), now()).unwrap();
                assert_eq!((read.id.as_str(), read.issuer.as_str()), ("_1", IDP));
                assert_eq!((&read.name_id, &read.session_indexes[..]), (&name_id, &["i&1".to_owned()][..]));
                assert_eq!((read.usable_until, read.remembered_until), (now().plus_secs(660), now().plus_secs(900)));
            }
            let content = Content::Response { in_response_to: "_1".into() };
            let answer = Outgoing { content, ..request(&name_id) };
            let url = answer.redirect_url(None, Some(key.pair())).unwrap();
            let read = read_response(Sent::Redirect(query(&url)), &party(&pinned), now()).unwrap();
            assert!(read.success && read.in_response_to == "_1");
            let wrong = read_request(Sent::Redirect(query(&url)), &party(&pinned), now()).unwrap_err();
            assert_eq!(wrong.code(), "no_message");
        }
    }

    fn code(sent: Sent<'_>, pinned: &[IdpCertificate], at: Timestamp) -> &'static str {
        read_request(sent, &party(pinned), at).map_or_else(|refusal| refusal.code(), |_| "accepted")
    }

    #[test]
    fn what_is_not_signed_by_the_pinned_key_is_refused_both_ways() {
        let (key, other) = (IssuerKey::rsa("idp", now()).unwrap(), IssuerKey::rsa("other", now()).unwrap());
        let (name_id, pinned) = (ada(), pinned(&key));
        let posted = |signer| request(&name_id).form_value(signer).unwrap();
        let url = |signer| request(&name_id).redirect_url(None, signer).unwrap();
        assert_eq!(code(Sent::Post(&posted(Some(key.pair()))), &pinned, now()), "accepted");
        assert_eq!(code(Sent::Post(&posted(Some(other.pair()))), &pinned, now()), "signature");
        assert_eq!(code(Sent::Post(&posted(None)), &pinned, now()), "unsigned");
        assert_eq!(code(Sent::Post(&posted(Some(key.pair()))), &[], now()), "no_certificate");
        assert_eq!(code(Sent::Redirect(query(&url(Some(other.pair())))), &pinned, now()), "signature");
        assert_eq!(code(Sent::Redirect(query(&url(None))), &pinned, now()), "unsigned");
        // One letter of the subject, behind a signature that was over another.
        let eve = NameIdentifier { value: "eve".into(), ..ada() };
        let altered = STANDARD.decode(posted(Some(key.pair()))).unwrap();
        let altered = String::from_utf8(altered).unwrap().replace("ada&lt;", "eve&lt;");
        assert_eq!(code(Sent::Post(&STANDARD.encode(altered)), &pinned, now()), "signature");
        let (good, evil) = (url(Some(key.pair())), request(&eve).redirect_url(None, None).unwrap());
        let evil_value = message_of(query(&evil), "SAMLRequest").unwrap();
        let rest = query(&good);
        assert_eq!(
            code(Sent::Redirect(&format!("SAML%52equest={evil_value}&{rest}")), &pinned, now()),
            "accepted",
            "a stranger's parameter"
        );
        let read = read_request(Sent::Redirect(&format!("SAML%52equest={evil_value}&{rest}")), &party(&pinned), now()).unwrap();
        assert_eq!(read.name_id, ada());
        assert_eq!(code(Sent::Redirect(&format!("SAMLRequest={evil_value}&{rest}")), &pinned, now()), "repeated");
        let swapped = rest.replace(message_of(rest, "SAMLRequest").unwrap(), evil_value);
        assert_eq!(code(Sent::Redirect(&swapped), &pinned, now()), "signature");
    }

    #[test]
    fn conditions_hold_before_anybody_is_signed_out() {
        let key = IssuerKey::rsa("idp", now()).unwrap();
        let (name_id, pinned) = (ada(), pinned(&key));
        let sent = |outgoing: Outgoing| outgoing.redirect_url(None, Some(key.pair())).unwrap();
        let judge = |url: &str, at: Timestamp| code(Sent::Redirect(query(url)), &pinned, at);
        let good = sent(request(&name_id));
        assert_eq!(judge(&good, now().plus_secs(659)), "accepted");
        assert_eq!(judge(&good, now().plus_secs(660)), "expired");
        assert_eq!(judge(&good, now().plus_secs(-60)), "accepted");
        assert_eq!(judge(&good, now().plus_secs(-61)), "issued_in_future");
        assert_eq!(judge(&sent(Outgoing { issuer: "https://other.example".into(), ..request(&name_id) }), now()), "issuer");
        assert_eq!(
            judge(&sent(Outgoing { destination: "https://sp.example/other/logout".into(), ..request(&name_id) }), now()),
            "destination"
        );
    }

    #[test]
    fn bounds_come_before_cryptography() {
        let pack = |xml: &str| {
            let mut deflate = DeflateEncoder::new(Vec::new(), Compression::best());
            deflate.write_all(xml.as_bytes()).unwrap();
            format!("SAMLRequest={}&SigAlg=x&Signature=eA==", utf8_percent_encode(&STANDARD.encode(deflate.finish().unwrap()), QUERY))
        };
        let bomb = pack(&" ".repeat(50 << 20));
        assert!(bomb.len() < 200_000);
        assert_eq!(code(Sent::Redirect(&bomb), &[], now()), "too_long");
        assert_eq!(code(Sent::Redirect(&pack("<!DOCTYPE a><a/>")), &[], now()), "doctype");
        assert_eq!(code(Sent::Redirect(&pack("<a/>")), &[], now()), "root");
        let xml = request(&ada()).to_xml();
        let extended = xml.replace("<saml:Issuer>", "<samlp:Extensions/><saml:Issuer>");
        assert_eq!(code(Sent::Redirect(&pack(&extended)), &[], now()), "unexpected_element");
        let twice = xml.replace("</saml:NameID>", "</saml:NameID><saml:NameID>eve</saml:NameID>");
        assert_eq!(code(Sent::Redirect(&pack(&twice)), &[], now()), "repeated");
        let many = xml
            .replace("<samlp:SessionIndex>", &format!("{}<samlp:SessionIndex>", "<samlp:SessionIndex>x</samlp:SessionIndex>".repeat(64)));
        assert_eq!(code(Sent::Redirect(&pack(&many)), &[], now()), "repeated");
        for wrong in ["SAMLRequest=!", "SAMLRequest=QUJD", "SAMLRequest=%FF", "SAMLResponse=QUJD", ""] {
            assert_ne!(code(Sent::Redirect(wrong), &[], now()), "accepted", "{wrong}");
        }
    }

    #[test]
    fn a_request_speaks_of_whom_it_names_and_of_nobody_else() {
        let asks = |name_id: NameIdentifier| LogoutRequest {
            id: "_1".into(),
            issuer: IDP.into(),
            name_id,
            session_indexes: Vec::new(),
            usable_until: now(),
            remembered_until: now(),
        };
        let with = |value: &str, format: Option<&str>, qualifier: Option<&str>| NameIdentifier {
            value: value.into(),
            format: format.map(Into::into),
            name_qualifier: qualifier.map(Into::into),
            sp_name_qualifier: None,
        };
        let session = with("ada", Some("urn:f"), Some("q"));
        for (asked, expected) in [
            (with("ada", Some("urn:f"), Some("q")), true),
            (with("ada", None, None), true),
            (with("ada", Some("urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"), None), true),
            (with("Ada", Some("urn:f"), Some("q")), false),
            (with("ada", Some("urn:g"), Some("q")), false),
            (with("ada", Some("urn:f"), Some("r")), false),
        ] {
            assert_eq!(asks(asked.clone()).names(&session), expected, "{asked:?}");
        }
    }
}

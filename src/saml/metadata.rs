//! Metadata of both sides: reading an identity provider's, writing ours. Reading fetches nothing and trusts nothing: what is found
//! here becomes trusted when an owner takes it over.

use quick_xml::escape::escape;

use super::{
    certificate::{Certificate, CertificateError, Key},
    element::{Element, Ns},
    key_pair::KeyPair,
    refusal::Refusal,
    scan::{self, Grammar},
    sign::{SignError, sign_xml},
};
use crate::domain::{network::is_protected, time::Timestamp};

use Ns::{Metadata as M, Signature as D};

/// What a connection needs to know of an identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdpMetadata {
    pub entity_id: String,
    pub sso_redirect_url: Option<String>,
    pub sso_post_url: Option<String>,
    pub slo_redirect_url: Option<String>,
    pub slo_post_url: Option<String>,
    /// Signing certificates, in order of appearance, each once; at least one.
    pub certificates: Vec<Certificate>,
    /// Certificates that stand there and cannot be used, with the reason.
    pub unusable: Vec<CertificateError>,
    pub name_id_formats: Vec<String>,
    pub want_authn_requests_signed: bool,
    pub valid_until: Option<Timestamp>,
    /// An XML duration such as `PT1H`, as written.
    pub cache_duration: Option<String>,
}

impl IdpMetadata {
    /// `cache_duration` in seconds, a month counted as 30 days; `None` where there is none or it is no duration.
    #[must_use]
    pub fn cache_secs(&self) -> Option<i64> {
        let span: jiff::Span = self.cache_duration.as_deref()?.trim().parse().ok()?;
        let days = i64::from(span.get_years()) * 365
            + i64::from(span.get_months()) * 30
            + i64::from(span.get_weeks()) * 7
            + i64::from(span.get_days());
        let minutes = i64::from(span.get_hours()) * 60 + span.get_minutes();
        Some(days * 86_400 + minutes * 60 + span.get_seconds())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    #[error("the metadata is larger than 2 MiB: take the metadata of one identity provider, not of a federation")]
    TooLarge,
    #[error("the metadata is not UTF-8: save it as UTF-8 and try again")]
    NotUtf8,
    #[error("the metadata cannot be read")]
    Xml(#[source] Refusal),
    #[error("the root element is {0}: EntityDescriptor of SAML 2.0 metadata was expected")]
    Root(String),
    #[error("there is no IDPSSODescriptor for SAML 2.0 in the metadata: is it that of a service provider?")]
    NoIdp,
    #[error("there are {0} identity providers in the metadata: take the metadata of one")]
    SeveralIdps(usize),
    #[error("{place}: {name} is missing")]
    Missing { place: &'static str, name: &'static str },
    #[error("{place}: {got:?} is not an http or https address of at most {MAX_ADDRESS} characters")]
    Address { place: &'static str, got: String },
    #[error(
        "{place}: {got:?} is plain http, and anyone between a browser and the identity provider could change a sign-in: let the identity \
         provider publish its https address (http is for loopback hosts only)"
    )]
    PlainHttp { place: &'static str, got: String },
    #[error("EntityDescriptor: entityID is longer than {MAX_ENTITY_ID} characters")]
    EntityId,
    #[error("IDPSSODescriptor: there are {0} signing certificates, {MAX_CERTIFICATES} at most are taken")]
    TooManyCertificates(usize),
    #[error("EntityDescriptor: validUntil {0:?} is not a date and time")]
    Time(String),
    #[error("IDPSSODescriptor: there is no usable signing certificate")]
    NoCertificate(#[source] Option<CertificateError>),
}

const MAX_BYTES: usize = 2 * 1024 * 1024;
/// SAML core, 8.3.6.
const MAX_ENTITY_ID: usize = 1024;
/// More than browsers and proxies carry.
const MAX_ADDRESS: usize = 2048;
/// Of one identity provider: during a change it has two or three.
const MAX_CERTIFICATES: usize = 64;
const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const REDIRECT: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";
const POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";

impl IdpMetadata {
    /// Reads an EntityDescriptor, or an EntitiesDescriptor that holds exactly one identity provider.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
        if bytes.len() > MAX_BYTES {
            return Err(MetadataError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| MetadataError::NotUtf8)?;
        // AD FS writes its FederationMetadata.xml with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let root = scan::read(text, Grammar::Open).map_err(MetadataError::Xml)?;
        let mut found = Vec::new();
        collect(&root, root.attribute("validUntil"), &mut found);
        match found[..] {
            [(entity, idp, valid_until)] => Self::read(entity, idp, valid_until),
            [] if root.is(M, "EntityDescriptor") || root.is(M, "EntitiesDescriptor") => Err(MetadataError::NoIdp),
            [] => Err(MetadataError::Root(root.name.chars().take(64).collect())),
            _ => Err(MetadataError::SeveralIdps(found.len())),
        }
    }

    fn read(entity: &Element, idp: &Element, valid_until: Option<&str>) -> Result<Self, MetadataError> {
        let entity_id = entity.attribute("entityID").filter(|id| !id.is_empty());
        let time = |text: &str| Timestamp::parse(text).map_err(|_| MetadataError::Time(text.chars().take(64).collect()));
        let bounds = [valid_until, entity.attribute("validUntil"), idp.attribute("validUntil")];
        let bounds: Vec<_> = bounds.into_iter().flatten().map(time).collect::<Result<_, _>>()?;
        if entity_id.is_some_and(|id| id.chars().count() > MAX_ENTITY_ID) {
            return Err(MetadataError::EntityId);
        }
        let (certificates, unusable) = certificates(idp);
        if certificates.len() > MAX_CERTIFICATES {
            return Err(MetadataError::TooManyCertificates(certificates.len()));
        }
        if certificates.is_empty() {
            return Err(MetadataError::NoCertificate(unusable.into_iter().next()));
        }
        let metadata = Self {
            entity_id: entity_id.ok_or(MetadataError::Missing { place: "EntityDescriptor", name: "entityID" })?.to_owned(),
            sso_redirect_url: endpoint(idp, "SingleSignOnService", REDIRECT)?,
            sso_post_url: endpoint(idp, "SingleSignOnService", POST)?,
            slo_redirect_url: endpoint(idp, "SingleLogoutService", REDIRECT)?,
            slo_post_url: endpoint(idp, "SingleLogoutService", POST)?,
            certificates,
            unusable,
            name_id_formats: idp.children(M, "NameIDFormat").map(|format| format.text.trim().to_owned()).collect(),
            want_authn_requests_signed: matches!(idp.attribute("WantAuthnRequestsSigned"), Some("true" | "1")),
            valid_until: bounds.into_iter().min(),
            cache_duration: entity.attribute("cacheDuration").or(idp.attribute("cacheDuration")).map(str::to_owned),
        };
        if metadata.sso_redirect_url.is_none() && metadata.sso_post_url.is_none() {
            return Err(MetadataError::Missing {
                place: "IDPSSODescriptor",
                name: "a SingleSignOnService with HTTP-Redirect or HTTP-POST",
            });
        }
        Ok(metadata)
    }
}

type Found<'a> = (&'a Element, &'a Element, Option<&'a str>);

/// Every entity with a descriptor of an identity provider for SAML 2.0, with the validity of what surrounds it.
fn collect<'a>(element: &'a Element, valid_until: Option<&'a str>, found: &mut Vec<Found<'a>>) {
    if element.is(M, "EntityDescriptor") {
        let speaks =
            |idp: &&Element| idp.attribute("protocolSupportEnumeration").is_some_and(|all| all.split_whitespace().any(|p| p == PROTOCOL));
        found.extend(element.children(M, "IDPSSODescriptor").filter(speaks).map(|idp| (element, idp, valid_until)));
    } else if element.is(M, "EntitiesDescriptor") {
        for child in &element.children {
            collect(child, valid_until.or(element.attribute("validUntil")), found);
        }
    }
}

fn endpoint(idp: &Element, service: &'static str, binding: &str) -> Result<Option<String>, MetadataError> {
    let Some(endpoint) = idp.children(M, service).find(|endpoint| endpoint.attribute("Binding") == Some(binding)) else { return Ok(None) };
    let location = endpoint.attribute("Location").ok_or(MetadataError::Missing { place: service, name: "Location" })?;
    check_address(service, location)?;
    Ok(Some(location.to_owned()))
}

/// Refuses an address to which browsers must not be sent. Over plain http anyone on the way reads and changes what they carry.
///
/// # Errors
/// When it is no address, too long, or plain http on another host than this one.
pub fn check_address(place: &'static str, location: &str) -> Result<(), MetadataError> {
    let got = || location.chars().take(200).collect();
    match url::Url::parse(location) {
        Ok(url) if matches!(url.scheme(), "https" | "http") && location.len() <= MAX_ADDRESS => {
            if is_protected(&url) {
                Ok(())
            } else {
                Err(MetadataError::PlainHttp { place, got: got() })
            }
        }
        _ => Err(MetadataError::Address { place, got: got() }),
    }
}

fn certificates(idp: &Element) -> (Vec<Certificate>, Vec<CertificateError>) {
    let (mut usable, mut unusable): (Vec<Certificate>, Vec<CertificateError>) = (Vec::new(), Vec::new());
    // Keycloak: a KeyDescriptor without `use` is a signing key too.
    let signing = idp.children(M, "KeyDescriptor").filter(|key| matches!(key.attribute("use"), None | Some("signing")));
    let data = signing.flat_map(|key| key.children(D, "KeyInfo")).flat_map(|info| info.children(D, "X509Data"));
    // Further certificates of one X509Data are the chain of the first (XML Signature, 4.5.4), not keys that sign messages.
    for text in data.filter_map(|data| data.child(D, "X509Certificate")) {
        match Certificate::parse(&text.text) {
            Ok(certificate) if usable.contains(&certificate) => {}
            Ok(certificate) => usable.push(certificate),
            Err(error) => unusable.push(error),
        }
    }
    (usable, unusable)
}

/// What our metadata says of one connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceProvider<'a> {
    pub entity_id: &'a str,
    pub acs_url: &'a str,
    /// Where logout messages are taken, by redirect and by POST.
    pub logout_url: &'a str,
    pub name_id_format: Option<&'a str>,
    /// The current key's certificate, then the next one's. RSA keys are there for encryption too.
    pub certificates: &'a [Certificate],
    pub signs_requests: bool,
    /// AES-CBC is named among the ciphers.
    pub allow_cbc: bool,
}

/// The attribute `ID` of our metadata, which a signature refers to.
const METADATA_ID: &str = "_metadata";

/// SP metadata of a connection. The same input gives the same bytes.
#[must_use]
pub fn sp_metadata(sp: &ServiceProvider<'_>) -> String {
    let format =
        sp.name_id_format.map_or_else(String::new, |format| format!("    <md:NameIDFormat>{}</md:NameIDFormat>\n", escape(format)));
    let signing = sp.certificates.iter().map(|certificate| key_descriptor("signing", certificate, ""));
    let methods = encryption_methods(sp.allow_cbc);
    let encrypting = sp.certificates.iter().filter(|certificate| matches!(certificate.key(), Key::Rsa { .. }));
    let encrypting = encrypting.map(|certificate| key_descriptor("encryption", certificate, &methods));
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="{METADATA_ID}" entityID="{entity_id}">
  <md:SPSSODescriptor AuthnRequestsSigned="{signed}" WantAssertionsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
{keys}    <md:SingleLogoutService Binding="{REDIRECT}" Location="{logout_url}"/>
    <md:SingleLogoutService Binding="{POST}" Location="{logout_url}"/>
{format}    <md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="{acs_url}" index="0" isDefault="true"/>
  </md:SPSSODescriptor>
</md:EntityDescriptor>
"#,
        entity_id = escape(sp.entity_id),
        signed = sp.signs_requests,
        keys = signing.chain(encrypting).collect::<String>(),
        acs_url = escape(sp.acs_url),
        logout_url = escape(sp.logout_url),
    )
}

/// [`sp_metadata`] with a signature by the current key.
///
/// # Errors
/// When xmlsec refuses to sign.
pub fn signed_sp_metadata(sp: &ServiceProvider<'_>, key: &KeyPair) -> Result<String, SignError> {
    let signed = sign_xml(&sp_metadata(sp), METADATA_ID, key)?;
    Ok(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{signed}\n"))
}

fn key_descriptor(usage: &str, certificate: &Certificate, methods: &str) -> String {
    format!(
        r#"    <md:KeyDescriptor use="{usage}">
      <ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>
{methods}    </md:KeyDescriptor>
"#,
        certificate.to_base64()
    )
}

/// What `decrypt` takes, the best first: identity providers choose the first that they know.
fn encryption_methods(allow_cbc: bool) -> String {
    const GCM: [&str; 2] = ["http://www.w3.org/2009/xmlenc11#aes256-gcm", "http://www.w3.org/2009/xmlenc11#aes128-gcm"];
    const CBC: [&str; 2] = ["http://www.w3.org/2001/04/xmlenc#aes256-cbc", "http://www.w3.org/2001/04/xmlenc#aes128-cbc"];
    const OAEP: [&str; 2] = ["http://www.w3.org/2009/xmlenc11#rsa-oaep", "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"];
    let algorithms = GCM.iter().chain(CBC.iter().filter(|_| allow_cbc)).chain(&OAEP);
    algorithms.fold(String::new(), |all, algorithm| format!("{all}      <md:EncryptionMethod Algorithm=\"{algorithm}\"/>\n"))
}

#[cfg(test)]
mod tests {
    use samael::crypto::{CertificateDer, Crypto, CryptoProvider};

    use super::{super::issuer::IssuerKey, *};

    fn certificate() -> Certificate {
        IssuerKey::rsa("idp.example", Timestamp::parse("2026-03-03T08:00:00Z").unwrap()).unwrap().certificate().clone()
    }

    fn key(usage: &str, certificate: &str) -> String {
        format!(
            "<KeyDescriptor{usage}><ds:KeyInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:X509Data><ds:X509Certificate>\n{certificate}\n</ds:X509Certificate></ds:X509Data></ds:KeyInfo></KeyDescriptor>"
        )
    }

    fn entity(id: &str, keys: &str) -> String {
        format!(
            r#"<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{id}" validUntil="2030-01-01T00:00:00Z" cacheDuration="PT1H"><!-- of 2026 --><IDPSSODescriptor WantAuthnRequestsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol urn:oasis:names:tc:SAML:2.0:protocol">{keys}<NameIDFormat> urn:oasis:names:tc:SAML:2.0:nameid-format:persistent </NameIDFormat><SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example/slo"/><SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="https://idp.example/soap"/><SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example/sso?a=1&amp;b=2"/></IDPSSODescriptor></EntityDescriptor>"#
        )
    }

    fn parse(text: &str) -> Result<IdpMetadata, MetadataError> {
        IdpMetadata::parse(text.as_bytes())
    }

    #[test]
    fn metadata_of_an_identity_provider_is_read() {
        let (first, second) = (certificate(), certificate());
        let keys = key(" use=\"signing\"", &first.to_base64())
            + &key("", &second.to_base64())
            + &key(" use=\"signing\"", &first.to_base64())
            + &key(" use=\"encryption\"", "none");
        // AD FS puts a byte order mark before it.
        let metadata = parse(&format!("\u{feff}<?xml version=\"1.0\"?>{}", entity("JumpCloud free text", &keys))).unwrap();
        assert_eq!(metadata.entity_id, "JumpCloud free text");
        assert_eq!(metadata.sso_redirect_url.as_deref(), Some("https://idp.example/sso?a=1&b=2"));
        assert_eq!((metadata.sso_post_url, metadata.slo_redirect_url), (None, None));
        assert_eq!(metadata.slo_post_url.as_deref(), Some("https://idp.example/slo"));
        assert_eq!(metadata.certificates, [first, second], "each once, and one without `use` signs too");
        assert!(metadata.unusable.is_empty() && metadata.want_authn_requests_signed);
        assert_eq!(metadata.name_id_formats, ["urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"]);
        assert_eq!(metadata.valid_until, Some(Timestamp::parse("2030-01-01T00:00:00Z").unwrap()));
        assert_eq!(metadata.cache_duration.as_deref(), Some("PT1H"));
    }

    #[test]
    fn a_collection_is_read_when_it_holds_exactly_one_identity_provider() {
        let one = entity("a", &key("", &certificate().to_base64()));
        let around = |inner: &str| {
            format!(
                "<m:EntitiesDescriptor xmlns:m=\"urn:oasis:names:tc:SAML:2.0:metadata\" validUntil=\"2029-01-01T00:00:00Z\">{inner}</m:EntitiesDescriptor>"
            )
        };
        let service_provider =
            sp_metadata(&ServiceProvider { entity_id: "sp", acs_url: "https://sp.example/acs", ..ServiceProvider::default() });
        let service_provider = service_provider.split_once("?>").unwrap().1;
        let metadata = parse(&around(&format!("{service_provider}{}", around(&one)))).unwrap();
        assert_eq!(metadata.valid_until, Some(Timestamp::parse("2029-01-01T00:00:00Z").unwrap()));
        assert_eq!(parse(&around(&one.repeat(2))).unwrap_err(), MetadataError::SeveralIdps(2));
        assert_eq!(parse(&around("")).unwrap_err(), MetadataError::NoIdp);
        assert_eq!(parse(service_provider.trim()).unwrap_err(), MetadataError::NoIdp);
    }

    #[test]
    fn a_document_names_no_more_than_an_identity_provider_has() {
        let now = Timestamp::parse("2026-03-03T08:00:00Z").unwrap();
        let keys: Vec<_> = (0..=MAX_CERTIFICATES).map(|_| key("", &IssuerKey::ec("a", now).unwrap().certificate().to_base64())).collect();
        assert_eq!(parse(&entity("a", &keys[1..].concat())).unwrap().certificates.len(), MAX_CERTIFICATES);
        assert_eq!(parse(&entity("a", &keys.concat())).unwrap_err(), MetadataError::TooManyCertificates(MAX_CERTIFICATES + 1));
        assert_eq!(parse(&entity(&"ä".repeat(MAX_ENTITY_ID), &keys[0])).unwrap().entity_id.chars().count(), MAX_ENTITY_ID);
        assert_eq!(parse(&entity(&"a".repeat(MAX_ENTITY_ID + 1), &keys[0])).unwrap_err(), MetadataError::EntityId);
        let long = |length: usize| {
            entity("a", &keys[0]).replace("https://idp.example/slo", &format!("https://idp.example/{}", "s".repeat(length - 20)))
        };
        assert!(parse(&long(MAX_ADDRESS)).is_ok());
        assert!(matches!(parse(&long(MAX_ADDRESS + 1)), Err(MetadataError::Address { .. })));
    }

    #[test]
    fn errors_name_the_place() {
        let good = entity("a", &key("", &certificate().to_base64()));
        parse(&good).unwrap();
        let error = |from: &str, to: &str| parse(&good.replace(from, to)).unwrap_err();
        assert_eq!(error("entityID=\"a\"", ""), MetadataError::Missing { place: "EntityDescriptor", name: "entityID" });
        let address = error("https://idp.example/sso", "javascript:alert(1)//");
        assert!(matches!(address, MetadataError::Address { place: "SingleSignOnService", .. }), "{address}");
        for (address, place) in [("https://idp.example/sso", "SingleSignOnService"), ("https://idp.example/slo", "SingleLogoutService")] {
            let plain = error(address, "http://idp.example/x");
            assert!(matches!(&plain, MetadataError::PlainHttp { place: found, .. } if *found == place), "{plain}");
            for loopback in ["http://127.0.0.1:8080/sso", "http://[::1]/sso", "http://localhost/sso", "http://idp.localhost:1/sso"] {
                assert!(parse(&good.replace(address, loopback)).is_ok(), "{loopback}");
            }
            assert!(matches!(error(address, "http://localhost.evil.example/"), MetadataError::PlainHttp { .. }));
        }
        assert!(matches!(error("HTTP-Redirect", "HTTP-Artifact"), MetadataError::Missing { place: "IDPSSODescriptor", .. }));
        assert_eq!(error("2030-01-01T00:00:00Z", "soon"), MetadataError::Time("soon".to_owned()));
        assert!(matches!(error("<!-- of 2026 -->", "<!DOCTYPE a>"), MetadataError::Xml(refusal) if refusal.code() == "doctype"));
        assert_eq!(parse("<html/>").unwrap_err(), MetadataError::Root("html".to_owned()));
        assert_eq!(IdpMetadata::parse(&[0xff, 0xfe, b'<', 0]).unwrap_err(), MetadataError::NotUtf8);
        assert_eq!(IdpMetadata::parse(&vec![b' '; MAX_BYTES + 1]).unwrap_err(), MetadataError::TooLarge);
        assert_eq!(parse(&entity("a", "")).unwrap_err(), MetadataError::NoCertificate(None));
        let broken = parse(&entity("a", &key("", "QUJD"))).unwrap_err();
        assert_eq!(broken, MetadataError::NoCertificate(Some(CertificateError::NotACertificate)));
    }

    #[test]
    fn a_weak_certificate_beside_a_good_one_is_reported_and_not_taken() {
        let keys = key("", "QUJD") + &key("", &certificate().to_base64());
        let metadata = parse(&entity("a", &keys)).unwrap();
        assert_eq!((metadata.certificates.len(), metadata.unusable.len()), (1, 1));
    }

    #[test]
    fn our_metadata_is_well_formed_and_says_where_responses_go() {
        let sp = ServiceProvider {
            entity_id: "https://sp.example/a?b&c",
            acs_url: "https://sp.example/acs",
            name_id_format: Some("urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"),
            ..ServiceProvider::default()
        };
        let root = scan::read(&sp_metadata(&sp), Grammar::Open).unwrap();
        assert_eq!(root.attribute("entityID"), Some("https://sp.example/a?b&c"));
        let descriptor = root.child(M, "SPSSODescriptor").unwrap();
        assert_eq!(descriptor.attribute("WantAssertionsSigned"), Some("true"));
        let acs = descriptor.child(M, "AssertionConsumerService").unwrap();
        assert_eq!((acs.attribute("Location"), acs.attribute("Binding")), (Some("https://sp.example/acs"), Some(POST)));
        assert_eq!(descriptor.child(M, "NameIDFormat").unwrap().text, sp.name_id_format.unwrap());
    }

    #[test]
    fn our_metadata_names_the_keys_of_now_and_next_and_can_be_signed() {
        let now = Timestamp::parse("2026-03-03T08:00:00Z").unwrap();
        let (rsa, ec) = (IssuerKey::rsa("sp", now).unwrap(), IssuerKey::ec("sp", now).unwrap());
        let certificates = [rsa.certificate().clone(), ec.certificate().clone()];
        let sp = ServiceProvider {
            entity_id: "https://sp.example/a?b&c",
            acs_url: "https://sp.example/acs",
            certificates: &certificates,
            signs_requests: true,
            ..ServiceProvider::default()
        };
        let said = |xml: &str| {
            let root = scan::read(xml, Grammar::Open).unwrap();
            let descriptor = root.child(M, "SPSSODescriptor").unwrap().clone();
            assert_eq!(descriptor.attribute("AuthnRequestsSigned"), Some("true"));
            let keys = descriptor.children(M, "KeyDescriptor").map(|key| {
                let data = key.child(D, "KeyInfo").and_then(|info| info.child(D, "X509Data")).unwrap();
                let certificate = Certificate::parse(&data.child(D, "X509Certificate").unwrap().text).unwrap();
                (key.attribute("use").unwrap().to_owned(), certificate)
            });
            keys.collect::<Vec<_>>()
        };
        let (first, second) = (certificates[0].clone(), certificates[1].clone());
        let expected = [("signing".to_owned(), first.clone()), ("signing".to_owned(), second), ("encryption".to_owned(), first)];
        assert_eq!(said(&sp_metadata(&sp)), expected, "nobody encrypts for an EC key");
        assert!(!sp_metadata(&sp).contains("-cbc"));
        assert!(sp_metadata(&ServiceProvider { allow_cbc: true, ..sp.clone() }).contains("xmlenc#aes128-cbc"));
        for key in [&rsa, &ec] {
            let signed = signed_sp_metadata(&sp, key.pair()).unwrap();
            assert_eq!(said(&signed), expected);
            let root = scan::read(&signed, Grammar::Open).unwrap();
            assert!(root.children[0].is(D, "Signature"), "the schema wants it first");
            let der = CertificateDer::from(key.certificate().der().to_vec());
            Crypto::verify_signed_xml(&signed, &der, Some("ID")).unwrap();
            assert!(Crypto::verify_signed_xml(signed.replace("sp.example/acs", "evil.example/acs"), &der, Some("ID")).is_err());
        }
    }
}

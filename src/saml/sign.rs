//! Signatures of ours: in the query of a redirect (SAML bindings, 3.4.4.1) and enveloped in XML; and those that others put into a
//! query, judged by pinned certificates. Signatures of others in XML are judged in `signature`.

use base64::{Engine, engine::general_purpose::STANDARD};
use openssl::{bn::BigNum, ecdsa::EcdsaSig, error::ErrorStack, hash::MessageDigest, sign::Verifier, x509::X509};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use samael::crypto::{Crypto, CryptoError, CryptoProvider};

use super::{
    certificate::Key,
    key_pair::{KeyPair, coordinate_bytes},
    refusal::{Refusal, Step},
    signature::IdpCertificate,
    structure::{Family, SHA1_CURE},
};
use crate::domain::id::CertificateId;

#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("the message could not be signed: openssl refused")]
    OpenSsl(#[from] ErrorStack),
    #[error("the message could not be signed: xmlsec refused")]
    Xml(#[from] CryptoError),
}

/// What stands unescaped in our queries: RFC 3986, unreserved.
pub(super) const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

const MORE: &str = "http://www.w3.org/2001/04/xmldsig-more#";
const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
const ECDSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256";

fn method(key: &KeyPair) -> &'static str {
    if key.is_rsa() { RSA_SHA256 } else { ECDSA_SHA256 }
}

/// Signs the query of the HTTP-Redirect binding: `SAMLRequest=…` or `SAMLResponse=…`, then `&RelayState=…` where there is one, escaped
/// as it will be sent. Returns it with SigAlg and Signature.
///
/// # Errors
/// When openssl refuses, which takes a broken key.
pub fn sign_redirect(query: &str, key: &KeyPair) -> Result<String, SignError> {
    let signed = format!("{query}&SigAlg={}", utf8_percent_encode(method(key), QUERY));
    let value = STANDARD.encode(key.sign_octets(signed.as_bytes())?);
    Ok(format!("{signed}&Signature={}", utf8_percent_encode(&value, QUERY)))
}

/// Signs a message or metadata of ours: an enveloped signature over its root, whose attribute `ID` is given, canonicalised exclusively. It
/// stands behind the Issuer, or first where there is none, as the schemas of SAML want it. Returns XML without a declaration.
///
/// # Errors
/// When xmlsec refuses: the document is not well-formed, or its root has no such ID.
pub fn sign_xml(xml: &str, id: &str, key: &KeyPair) -> Result<String, SignError> {
    const END_OF_ISSUER: &str = "</saml:Issuer>";
    let at = xml.find(END_OF_ISSUER).map_or_else(|| end_of_first_tag(xml), |at| at + END_OF_ISSUER.len());
    sign_templated(&format!("{}{}{}", &xml[..at], template(id, key), &xml[at..]), key)
}

/// Fills in the values of the first signature of a document.
pub(super) fn sign_templated(xml: &str, key: &KeyPair) -> Result<String, SignError> {
    let signed = Crypto::sign_xml(xml, &key.traditional_der()?)?;
    // libxml2 writes an XML declaration, which has no place inside another document.
    let body = signed.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")).map_or(signed.as_str(), |(_, body)| body);
    Ok(body.trim().to_owned())
}

/// Behind the start tag of the root. In what we write, `>` stands in no attribute value.
fn end_of_first_tag(xml: &str) -> usize {
    let root = xml.find("?>").map_or(0, |at| at + 2);
    xml[root..].find('>').map_or(0, |at| root + at + 1)
}

/// A signature without its values: they are filled in by xmlsec.
pub(super) fn template(id: &str, key: &KeyPair) -> String {
    format!(
        r##"<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/><ds:SignatureMethod Algorithm="{method}"/><ds:Reference URI="#{id}"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue></ds:DigestValue></ds:Reference></ds:SignedInfo><ds:SignatureValue></ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>"##,
        method = method(key),
        certificate = key.certificate().to_base64(),
    )
}

/// The parts of a query that carry a message, as they were sent.
#[derive(Debug, Default)]
struct Query<'a> {
    message: Option<(&'a str, &'a str)>,
    relay_state: Option<&'a str>,
    algorithm: Option<&'a str>,
    signature: Option<&'a str>,
}

fn refuse(code: &'static str, what: impl Into<String>) -> Refusal {
    Refusal::new(Step::Signature, code, what)
}

impl<'a> Query<'a> {
    fn read(query: &'a str) -> Result<Self, Refusal> {
        let mut parts = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let again = match name {
                "SAMLRequest" | "SAMLResponse" => parts.message.replace((name, value)).is_some(),
                "RelayState" => parts.relay_state.replace(value).is_some(),
                "SigAlg" => parts.algorithm.replace(value).is_some(),
                "Signature" => parts.signature.replace(value).is_some(),
                _ => false,
            };
            if again {
                return Err(refuse("repeated", format!("{name} stands twice in the query")));
            }
        }
        Ok(parts)
    }

    /// What was signed: SAML bindings, 3.4.4.1, in that order whatever the order of the query.
    fn octets(&self, message: (&str, &str), algorithm: &str) -> String {
        let state = self.relay_state.map_or_else(String::new, |state| format!("&RelayState={state}"));
        format!("{}={}{state}&SigAlg={algorithm}", message.0, message.1)
    }
}

/// Verifies the signature of a message in a query, over the very octets that were sent. `query` is the raw query, not decoded.
///
/// # Errors
/// When there is no signature, when its algorithm is not one we take, or when none of the certificates made it.
pub fn verify_redirect(query: &str, certificates: &[IdpCertificate]) -> Result<CertificateId, Refusal> {
    let parts = Query::read(query)?;
    let message = parts.message.ok_or_else(|| refuse("no_message", "there is neither SAMLRequest nor SAMLResponse in the query"))?;
    let (Some(algorithm), Some(signature)) = (parts.algorithm, parts.signature) else {
        return Err(refuse("unsigned", "the message in the query is not signed")
            .expected("SigAlg and Signature")
            .cure("let the identity provider sign what it sends by redirect"));
    };
    if certificates.is_empty() {
        return Err(refuse("no_certificate", "the connection has no signing certificate").cure("add the identity provider's certificate"));
    }
    let decode = |text: &str| percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).unwrap_or_default();
    let (family, digest) = method_of(&decode(algorithm))?;
    // Some senders wrap base64, others forget to escape `+`.
    let value: String = decode(signature).chars().filter(|c| !matches!(c, '\r' | '\n')).map(|c| if c == ' ' { '+' } else { c }).collect();
    let value = STANDARD.decode(value).map_err(|_| refuse("signature", "the Signature in the query is not base64"))?;
    let octets = parts.octets(message, algorithm);
    let fitting = certificates.iter().filter(|known| match family {
        Family::Rsa => matches!(known.certificate.key(), Key::Rsa { .. }),
        Family::Ec => matches!(known.certificate.key(), Key::Ec { .. }),
    });
    for known in fitting {
        if verifies(known.certificate.der(), family, digest, octets.as_bytes(), &value).unwrap_or(false) {
            return Ok(known.id);
        }
    }
    let pinned: Vec<_> = certificates.iter().map(|known| known.certificate.fingerprint()[..16].to_owned()).collect();
    Err(refuse("signature", "the signature in the query was made with none of the pinned certificates, or the query was altered")
        .expected(format!("a certificate whose SHA-256 fingerprint begins with {}", pinned.join(" or ")))
        .cure("compare with the certificate that the identity provider signs with today"))
}

fn method_of(algorithm: &str) -> Result<(Family, MessageDigest), Refusal> {
    match algorithm.strip_prefix(MORE) {
        Some("rsa-sha256") => Ok((Family::Rsa, MessageDigest::sha256())),
        Some("rsa-sha384") => Ok((Family::Rsa, MessageDigest::sha384())),
        Some("rsa-sha512") => Ok((Family::Rsa, MessageDigest::sha512())),
        Some("ecdsa-sha256") => Ok((Family::Ec, MessageDigest::sha256())),
        Some("ecdsa-sha384") => Ok((Family::Ec, MessageDigest::sha384())),
        Some("ecdsa-sha512") => Ok((Family::Ec, MessageDigest::sha512())),
        _ if algorithm.ends_with("sha1") => Err(refuse("sha1", "the SigAlg of the query").got(algorithm).cure(SHA1_CURE)),
        _ => Err(refuse("algorithm", "the SigAlg of the query").got(algorithm).expected("RSA or ECDSA with SHA-256, SHA-384 or SHA-512")),
    }
}

fn verifies(der: &[u8], family: Family, digest: MessageDigest, octets: &[u8], value: &[u8]) -> Result<bool, ErrorStack> {
    let key = X509::from_der(der)?.public_key()?;
    let width = usize::try_from(coordinate_bytes(key.bits())).unwrap_or_default();
    // r and s beside one another, as XML Signature has it; Java's toolkits write the DER of both.
    let value = match family {
        Family::Ec if value.len() == 2 * width => {
            let (r, s) = value.split_at(width);
            EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?.to_der()?
        }
        Family::Rsa | Family::Ec => value.to_vec(),
    };
    Verifier::new(digest, &key)?.verify_oneshot(&value, octets)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use uuid::Uuid;

    use super::{super::issuer::IssuerKey, *};
    use crate::domain::time::Timestamp;

    fn now() -> Timestamp {
        Timestamp::parse("2026-03-03T08:00:00Z").unwrap()
    }

    fn pinned(keys: &[&KeyPair]) -> Vec<IdpCertificate> {
        let id = |n: usize| CertificateId::new(Uuid::from_u128(n as u128));
        keys.iter().enumerate().map(|(n, key)| IdpCertificate { id: id(n), certificate: key.certificate().clone() }).collect()
    }

    fn keys() -> (KeyPair, KeyPair) {
        let (rsa, ec) = (IssuerKey::rsa("a", now()).unwrap(), IssuerKey::ec("b", now()).unwrap());
        (rsa.pair().clone(), ec.pair().clone())
    }

    #[test]
    fn a_query_is_verified_over_the_octets_that_were_sent() {
        let (rsa, ec) = keys();
        let both = pinned(&[&ec, &rsa]);
        for (key, expected) in [(&ec, 0), (&rsa, 1)] {
            let query = sign_redirect("SAMLRequest=fVJN%2f%2Bw&RelayState=%2Fa%3fb", key).unwrap();
            assert_eq!(verify_redirect(&query, &both).unwrap(), both[expected].id);
            // The order of a query says nothing, and what does not belong to the message is not signed.
            let mut pairs: Vec<_> = query.split('&').collect();
            pairs.reverse();
            assert_eq!(verify_redirect(&format!("x=1&{}", pairs.join("&")), &both).unwrap(), both[expected].id);
            for (from, to) in
                [("fVJN", "fVJM"), ("%2f", "%2F"), ("RelayState", "relaystate"), ("%3fb", "%3fc"), ("SAMLRequest", "SAMLResponse")]
            {
                assert_eq!(verify_redirect(&query.replacen(from, to, 1), &both).unwrap_err().code(), "signature", "{from}");
            }
            assert_eq!(verify_redirect(&query, &both[1 - expected..2 - expected]).unwrap_err().code(), "signature", "of another kind");
            assert_eq!(verify_redirect(&query, &[]).unwrap_err().code(), "no_certificate");
        }
    }

    #[test]
    fn ecdsa_is_read_in_both_forms_and_written_in_that_of_xml_signature() {
        let (_, ec) = keys();
        let query = sign_redirect("SAMLResponse=abc", &ec).unwrap();
        let (signed, value) = query.split_once("&Signature=").unwrap();
        let value = STANDARD.decode(percent_decode_str(value).decode_utf8().unwrap().as_bytes()).unwrap();
        assert_eq!(value.len(), 64);
        let (r, s) = value.split_at(32);
        let der =
            EcdsaSig::from_private_components(BigNum::from_slice(r).unwrap(), BigNum::from_slice(s).unwrap()).unwrap().to_der().unwrap();
        let java = format!("{signed}&Signature={}", utf8_percent_encode(&STANDARD.encode(der), QUERY));
        verify_redirect(&java, &pinned(&[&ec])).unwrap();
    }

    #[rstest]
    #[case("SAMLRequest=a", "unsigned")]
    #[case("SAMLRequest=a&SigAlg=x", "unsigned")]
    #[case("SigAlg=x&Signature=y", "no_message")]
    #[case("SAMLRequest=a&SAMLResponse=b&SigAlg=x&Signature=y", "repeated")]
    #[case("SAMLRequest=a&SigAlg=x&SigAlg=x&Signature=y", "repeated")]
    #[case("SAMLRequest=a&SigAlg=http%3A%2F%2Fwww.w3.org%2F2000%2F09%2Fxmldsig%23rsa-sha1&Signature=y", "sha1")]
    #[case("SAMLRequest=a&SigAlg=http%3A%2F%2Fwww.w3.org%2F2001%2F04%2Fxmldsig-more%23hmac-sha256&Signature=y", "algorithm")]
    #[case("SAMLRequest=a&SigAlg=http%3A%2F%2Fwww.w3.org%2F2001%2F04%2Fxmldsig-more%23rsa-sha256&Signature=!", "signature")]
    fn what_is_wrong_with_a_query_is_named(#[case] query: &str, #[case] expected: &str) {
        let (rsa, _) = keys();
        assert_eq!(verify_redirect(query, &pinned(&[&rsa])).unwrap_err().code(), expected);
    }
}

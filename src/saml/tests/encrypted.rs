//! Step 6: encrypted assertions, each refusal beside an accepted control.

use rstest::rstest;

use super::*;
use crate::{
    domain::id::SpKeyId,
    saml::issuer::{ContentCipher, Encryption, KeyTransport, Placement},
};

static OURS: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("sp.example", now()).unwrap());
static OURS_NEXT: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("sp.example", now()).unwrap());

fn key(n: u128, key: &IssuerKey) -> DecryptionKey {
    DecryptionKey::of(SpKeyId::new(Uuid::from_u128(n)), key.pair()).unwrap()
}

fn for_us() -> Encryption {
    Encryption::new(OURS.certificate().clone(), [5; 32])
}

fn judged(xml: &str, keys: &[DecryptionKey], cbc: bool) -> Result<Assertion, Refusal> {
    let certificates = pinned(&[&EC, &RSA]);
    let party = Party { decryption_keys: keys, allow_cbc: cbc, ..party(&certificates) };
    super::super::verify(&STANDARD.encode(xml), &party, now())
}

fn answer(xml: &str, cbc: bool) -> &'static str {
    judged(xml, &[key(1, &OURS_NEXT), key(2, &OURS)], cbc).map_or_else(|refusal| refusal.code(), |_| "accepted")
}

#[rstest]
fn an_encrypted_assertion_is_read_however_it_was_encrypted(
    #[values(ContentCipher::Aes128Gcm, ContentCipher::Aes256Gcm, ContentCipher::Aes128Cbc, ContentCipher::Aes256Cbc)]
    content: ContentCipher,
    #[values(KeyTransport::OaepMgf1p, KeyTransport::OaepMgf1pSha256, KeyTransport::Oaep11Sha256)] transport: KeyTransport,
    #[values(Placement::InKeyInfo, Placement::Beside)] placement: Placement,
    #[values(Sign::Response, Sign::Both)] sign: Sign,
) {
    let encryption = Encryption { content, key: transport, placement, ..for_us() };
    for idp in [&*RSA, &*EC] {
        let xml = idp.issue_encrypted(&message(), sign, &encryption).unwrap();
        let assertion = judged(&xml, &[key(1, &OURS_NEXT), key(2, &OURS)], true).unwrap_or_else(|refusal| panic!("{refusal}"));
        assert_eq!(assertion.name_id.unwrap().value, "ada@example.com");
        assert_eq!(assertion.decrypted_with, Some(SpKeyId::new(Uuid::from_u128(2))), "the key that it was encrypted for");
    }
}

#[test]
fn without_a_signature_around_it_gcm_is_read_if_the_assertion_is_signed_and_cbc_never() {
    let gcm = for_us();
    let cbc = Encryption { content: ContentCipher::Aes256Cbc, ..for_us() };
    let issue = |sign, encryption: &Encryption| RSA.issue_encrypted(&message(), sign, encryption).unwrap();
    assert_eq!(answer(&issue(Sign::Assertion, &gcm), true), "accepted");
    assert_eq!(answer(&issue(Sign::Nothing, &gcm), true), "unsigned", "anybody can encrypt for us");
    assert_eq!(answer(&issue(Sign::Assertion, &cbc), true), "cbc_unsigned");
    assert_eq!(answer(&issue(Sign::Both, &cbc), true), "accepted");
    assert_eq!(answer(&issue(Sign::Both, &cbc), false), "cbc", "the connection's switch");
    // The signature outside is judged before anything is decrypted.
    let foreign = OTHER_RSA.issue_encrypted(&message(), Sign::Both, &gcm).unwrap();
    assert_eq!(answer(&foreign, true), "signature");
    let forged = OTHER_RSA.issue_encrypted(&message(), Sign::Assertion, &gcm).unwrap();
    assert_eq!(answer(&forged, true), "signature");
}

#[test]
fn a_signature_inside_is_verified_also_where_the_response_is_signed() {
    let message = message();
    let signed = |key: &IssuerKey| key.sign(&message.assertion(), &message.assertion_id).unwrap();
    let around = |octets: &str| RSA.issue_around(&message, Sign::Response, octets, &for_us()).unwrap();
    assert_eq!(answer(&around(&signed(&RSA)), false), "accepted");
    assert_eq!(answer(&around(&signed(&OTHER_RSA)), false), "signature");
    assert_eq!(answer(&around(&signed(&EC)), false), "signature", "two pinned keys are not one word");
    assert_eq!(answer(&around(&signed(&RSA).replace("ada@", "eve@")), false), "signature");
}

#[test]
fn what_no_key_reads_has_one_answer_whatever_is_wrong_with_it() {
    let issue = |encryption: &Encryption| RSA.issue_encrypted(&message(), Sign::Assertion, encryption).unwrap();
    let good = issue(&for_us());
    assert_eq!(answer(&good, false), "accepted");
    let for_another = issue(&Encryption::new(OTHER_RSA.certificate().clone(), [5; 32]));
    let mangled = |nth: usize, at: fn(usize) -> usize| {
        let start = good.match_indices("<xenc:CipherValue>").nth(nth).unwrap().0 + "<xenc:CipherValue>".len();
        let end = start + good[start..].find('<').unwrap();
        let mut bytes = STANDARD.decode(&good[start..end]).unwrap();
        let at = at(bytes.len());
        bytes[at] ^= 1;
        format!("{}{}{}", &good[..start], STANDARD.encode(bytes), &good[end..])
    };
    let shortened = |nth: usize, length: usize| {
        let start = good.match_indices("<xenc:CipherValue>").nth(nth).unwrap().0 + "<xenc:CipherValue>".len();
        let end = start + good[start..].find('<').unwrap();
        let bytes = STANDARD.decode(&good[start..end]).unwrap();
        format!("{}{}{}", &good[..start], STANDARD.encode(&bytes[..length]), &good[end..])
    };
    let swapped = good.replace("xmlenc11#aes256-gcm", "xmlenc11#aes128-gcm");
    let sha256 = good.replace(
        "xmlenc#rsa-oaep-mgf1p\"/>",
        "xmlenc#rsa-oaep-mgf1p\"><ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/></xenc:EncryptionMethod>",
    );
    assert_ne!(sha256, good);
    let cases = [
        ("another's key", for_another),
        ("the wrapped key altered", mangled(0, |length| length / 2)),
        ("the content altered", mangled(1, |length| length / 2)),
        ("the tag altered", mangled(1, |length| length - 1)),
        ("the initialisation vector altered", mangled(1, |_| 0)),
        ("another cipher", swapped),
        ("another digest", sha256),
        ("no wrapped key", shortened(0, 0)),
        ("a short wrapped key", shortened(0, 255)),
        ("no content", shortened(1, 0)),
        ("only an initialisation vector", shortened(1, 12)),
        ("less than a tag", shortened(1, 27)),
    ];
    let words: Vec<_> =
        cases.iter().map(|(how, xml)| (how, judged(xml, &[key(1, &OURS_NEXT), key(2, &OURS)], true).unwrap_err())).collect();
    for (how, refusal) in &words {
        assert_eq!(refusal, &words[0].1, "{how}");
    }
    assert_eq!((words[0].1.code(), words[0].1.step), ("decryption", Step::Decryption));
}

#[test]
fn cbc_that_no_key_reads_has_the_same_answer() {
    let issue = |recipient: &IssuerKey| {
        let encryption = Encryption { content: ContentCipher::Aes128Cbc, ..Encryption::new(recipient.certificate().clone(), [5; 32]) };
        RSA.issue_encrypted(&message(), Sign::Both, &encryption).unwrap()
    };
    let keys = [key(2, &OURS)];
    judged(&issue(&OURS), &keys, true).unwrap();
    let refused = judged(&issue(&OTHER_RSA), &keys, true).unwrap_err();
    let gcm = RSA.issue_encrypted(&message(), Sign::Both, &Encryption::new(OTHER_RSA.certificate().clone(), [5; 32])).unwrap();
    assert_eq!(refused, judged(&gcm, &keys, true).unwrap_err());
}

#[rstest]
#[case("rsa_1_5", "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p", "http://www.w3.org/2001/04/xmlenc#rsa-1_5")]
#[case("tripledes", "http://www.w3.org/2009/xmlenc11#aes256-gcm", "http://www.w3.org/2001/04/xmlenc#tripledes-cbc")]
#[case("algorithm", "http://www.w3.org/2009/xmlenc11#aes256-gcm", "http://www.w3.org/2009/xmlenc11#aes192-gcm")]
#[case("algorithm", "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p", "http://www.w3.org/2001/04/xmlenc#kw-aes256")]
#[case("cbc", "http://www.w3.org/2009/xmlenc11#aes256-gcm", "http://www.w3.org/2001/04/xmlenc#aes256-cbc")]
#[case("type", "http://www.w3.org/2001/04/xmlenc#Element", "http://www.w3.org/2001/04/xmlenc#Content")]
#[case(
    "oaep_digest",
    "rsa-oaep-mgf1p\"/>",
    "rsa-oaep-mgf1p\"><ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#md5\"/></xenc:EncryptionMethod>"
)]
#[case(
    "oaep_mgf",
    "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p\"/>",
    "http://www.w3.org/2009/xmlenc11#rsa-oaep\"><x:MGF xmlns:x=\"http://www.w3.org/2009/xmlenc11#\" Algorithm=\"urn:x\"/></xenc:EncryptionMethod>"
)]
#[case("oaep_params", "rsa-oaep-mgf1p\"/>", "rsa-oaep-mgf1p\"><xenc:OAEPparams>!</xenc:OAEPparams></xenc:EncryptionMethod>")]
#[case("retrieval_method", "<ds:KeyInfo>", "<ds:KeyInfo><ds:RetrievalMethod URI=\"#other\"/>")]
#[case("retrieval_method", "<ds:KeyInfo>", "<ds:KeyInfo><ds:RetrievalMethod URI=\"http://internal.example/#_ek\"/>")]
#[case("cipher_value", "<xenc:CipherValue>", "<xenc:CipherValue>!")]
#[case("cipher_reference", "<xenc:CipherValue>", "<xenc:CipherReference URI=\"http://internal.example/\"/><xenc:CipherValue>")]
#[case("unexpected_element", "<ds:KeyInfo>", "<ds:KeyInfo><ds:Signature/>")]
#[case("unexpected_attribute", "<xenc:CipherData>", "<xenc:CipherData ID=\"x\">")]
fn an_algorithm_or_form_that_is_not_taken_is_named_with_its_cure(#[case] expected: &str, #[case] from: &str, #[case] to: &str) {
    let good = RSA.issue_encrypted(&message(), Sign::Assertion, &for_us()).unwrap();
    assert!(good.contains(from), "{from}");
    let refusal = judged(&good.replacen(from, to, 1), &[key(2, &OURS)], false).unwrap_err();
    assert_eq!(refusal.code(), expected, "{refusal}");
    if ["rsa_1_5", "tripledes", "cbc"].contains(&expected) {
        assert!(refusal.cure.is_some() && refusal.got.is_some() && refusal.expected.is_some());
    }
}

#[test]
fn there_is_exactly_one_encrypted_key() {
    let good = RSA.issue_encrypted(&message(), Sign::Assertion, &for_us()).unwrap();
    let (start, end) =
        (good.find("<xenc:EncryptedKey").unwrap(), good.find("</xenc:EncryptedKey>").unwrap() + "</xenc:EncryptedKey>".len());
    let encrypted_key = &good[start..end];
    assert_eq!(answer(&good.replace(encrypted_key, ""), false), "no_encrypted_key");
    assert_eq!(answer(&good.replace(&format!("<ds:KeyInfo>{encrypted_key}</ds:KeyInfo>"), ""), false), "no_encrypted_key");
    let other = encrypted_key.replace("_ek", "_ek2");
    assert_eq!(
        answer(&good.replace("</saml:EncryptedAssertion>", &format!("{other}</saml:EncryptedAssertion>")), false),
        "several_encrypted_keys"
    );
    assert_eq!(answer(&good.replace(encrypted_key, &format!("{encrypted_key}{other}")), false), "repeated");
    assert_eq!(answer(&good.replace(encrypted_key, &encrypted_key.replace("_ek", "_ed")), false), "duplicate_id");
}

#[test]
fn one_assertion_is_in_a_response_encrypted_or_not() {
    let message = message();
    let good = RSA.issue_encrypted(&message, Sign::Assertion, &for_us()).unwrap();
    let (start, end) = (good.find("<saml:EncryptedAssertion").unwrap(), good.find("</saml:EncryptedAssertion>").unwrap() + 26);
    let encrypted = good[start..end].to_owned();
    assert_eq!(
        answer(&good.replace(&encrypted, &format!("{encrypted}{}", encrypted.replace("_ek", "_x").replace("_ed", "_y"))), false),
        "repeated"
    );
    let forged = message.assertion().replace(&message.assertion_id, "_forged");
    for both in [format!("{forged}{encrypted}"), format!("{encrypted}{forged}")] {
        assert_eq!(answer(&good.replace(&encrypted, &both), false), "repeated");
    }
}

#[test]
fn a_connection_without_a_key_says_what_to_do() {
    let good = RSA.issue_encrypted(&message(), Sign::Both, &for_us()).unwrap();
    let refusal = judged(&good, &[], false).unwrap_err();
    assert_eq!((refusal.code(), refusal.step), ("no_decryption_key", Step::Decryption));
    assert!(refusal.to_string().contains("rolegate keys create"), "{refusal}");
    assert!(DecryptionKey::of(SpKeyId::new(Uuid::from_u128(1)), EC.pair()).is_none(), "an EC key only signs");
}

/// What was decrypted is judged like what arrives: the same grammar, from its first byte.
#[rstest]
#[case("comment", "<saml:Issuer>", "<!-- x --><saml:Issuer>")]
#[case("doctype", "<saml:Assertion ", "<!DOCTYPE a [<!ENTITY x \"y\">]><saml:Assertion ")]
#[case("processing_instruction", "<saml:Issuer>", "<?x y?><saml:Issuer>")]
#[case("root", "saml:Assertion", "saml:Advice")]
#[case("unexpected_element", "<saml:Subject>", "<saml:Advice/><saml:Subject>")]
#[case("malformed", "</saml:Assertion>", "</saml:Assertion><x/>")]
#[case("malformed", "</saml:Assertion>", "")]
#[case("encrypted_id", "<saml:Subject>", "<saml:Subject><saml:EncryptedID/>")]
#[case("encrypted_attribute", "<saml:AttributeStatement>", "<saml:AttributeStatement><saml:EncryptedAttribute/>")]
#[case("expired", "NotOnOrAfter=\"2026-03-03T08:05:00Z\"><saml:Aud", "NotOnOrAfter=\"2026-03-03T07:05:00Z\"><saml:Aud")]
fn what_was_decrypted_goes_through_the_same_steps(#[case] expected: &str, #[case] from: &str, #[case] to: &str) {
    let message = message();
    let assertion = message.assertion();
    let around = |octets: &str| RSA.issue_around(&message, Sign::Response, octets, &for_us()).unwrap();
    assert_eq!(answer(&around(&assertion), false), "accepted");
    assert!(assertion.contains(from), "{from}");
    assert_eq!(answer(&around(&assertion.replace(from, to)), false), expected);
}

#[test]
fn work_after_decryption_is_bounded_as_before_it() {
    let message = message();
    let around = |octets: &str| RSA.issue_around(&message, Sign::Response, octets, &for_us()).unwrap();
    let values = "<saml:AttributeValue>x</saml:AttributeValue>".repeat(400);
    let wide = |times: usize| message.assertion().replacen("</saml:Attribute>", &format!("{}</saml:Attribute>", values.repeat(times)), 1);
    assert_eq!(answer(&around(&wide(1)), false), "accepted");
    let deep = format!("{}{}", "<a xmlns=\"urn:x\">".repeat(40), "</a>".repeat(40));
    assert_eq!(answer(&around(&message.assertion().replacen("staff", &deep, 1)), false), "too_deep");
}

/// pysaml2 declares every prefix on the Response, and xmlsec1 encrypts the octets of the Assertion without them.
#[rstest]
fn prefixes_may_have_been_declared_where_the_assertion_was_taken_out(#[values(Sign::Assertion, Sign::Response, Sign::Both)] sign: Sign) {
    const DECLARATIONS: [&str; 4] = [
        r#" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion""#,
        r#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#""#,
        r#" xmlns:xs="http://www.w3.org/2001/XMLSchema""#,
        r#" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance""#,
    ];
    let message = message();
    let mut assertion = message.assertion();
    if sign != Sign::Response {
        assertion = RSA.sign(&assertion, &message.assertion_id).unwrap();
    }
    for declaration in DECLARATIONS {
        assert!(sign == Sign::Response || assertion.contains(declaration), "{declaration}");
        assertion = assertion.replace(declaration, "");
    }
    assert!(!assertion.contains("xmlns"));
    let bare = RSA.issue_around(&message, Sign::Nothing, &assertion, &for_us()).unwrap();
    let outside = |declarations: &str| {
        let declared = bare.replacen("<samlp:Response ", &format!("<samlp:Response {declarations} "), 1);
        let declared =
            declared.replacen(" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"", "", usize::from(declarations.contains(":saml=")));
        if sign == Sign::Assertion { declared } else { RSA.sign(&declared, &message.response_id).unwrap() }
    };
    assert_eq!(answer(&outside(&DECLARATIONS[1..].concat()), false), "accepted");
    assert_eq!(answer(&outside(&DECLARATIONS[2..3].concat()), false), "prefix", "a prefix that is declared nowhere stays unbound");
    let foreign = DECLARATIONS[1..].concat().replace("http://www.w3.org/2001/XMLSchema-instance", "urn:x");
    assert_eq!(answer(&outside(&foreign), false), "prefix", "no other vocabulary is taken over");
}

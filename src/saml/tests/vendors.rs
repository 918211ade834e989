//! What each product does, one test a product: the tolerance that the profile promises, whole responses at a time.

use rstest::rstest;

use super::*;
use crate::{
    domain::{
        connection::{Audience, Authority, Connection, SamlSettings, ScimSettings},
        id::{ConnectionId, OrganizationId, SpKeyId, TenantId},
        name::Slug,
    },
    saml::issuer::{ContentCipher, Encryption, Placement},
};

static OURS: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("sp.example", now()).unwrap());

fn connection(map: &[(&str, &str)], saml: SamlSettings) -> Connection {
    Connection {
        id: ConnectionId::new(Uuid::from_u128(1)),
        tenant: TenantId::new(Uuid::from_u128(2)),
        organization: OrganizationId::new(Uuid::from_u128(3)),
        slug: Slug::parse("acme").unwrap(),
        audience: Audience::Admin,
        authority: Authority::default(),
        enabled: true,
        allow_owner_grants: false,
        scim: ScimSettings::default(),
        saml,
        attributes: map.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect(),
        version: 1,
    }
}

fn with(attributes: &[(&str, &[&str])]) -> Message {
    let mut message = message();
    let text = |values: &&[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    message.attributes = attributes.iter().map(|(name, values)| ((*name).to_owned(), text(values))).collect();
    message
}

/// Verified with our decryption key, by these certificates, as the connection has it.
fn judged(xml: &str, keys: &[&IssuerKey], connection: &Connection) -> Result<(Assertion, Vec<String>), Refusal> {
    let certificates = pinned(keys);
    let decryption = [DecryptionKey::of(SpKeyId::new(Uuid::from_u128(9)), OURS.pair()).unwrap()];
    let idp = if connection.saml.idp_entity_id.is_empty() { IDP } else { &connection.saml.idp_entity_id };
    let party = Party {
        idp_entity_id: idp,
        decryption_keys: &decryption,
        allow_cbc: connection.saml.allow_cbc,
        subject_from_attribute: connection.saml.subject_attribute.is_some(),
        ..party(&certificates)
    };
    let assertion = super::super::verify(&STANDARD.encode(xml), &party, now())?;
    let (_, facts) = identity(&assertion, connection)?;
    let groups = facts.groups.map_or_else(|| vec!["absent".to_owned()], |groups| groups.into_iter().map(|group| group.value).collect());
    Ok((assertion, groups))
}

fn for_us(content: ContentCipher) -> Encryption {
    Encryption { content, ..Encryption::new(OURS.certificate().clone(), [3; 32]) }
}

#[test]
fn okta_signs_both_lists_inclusive_namespaces_and_puts_the_encrypted_key_beside() {
    let connection = connection(&[("groups", "whatever the admin called it")], SamlSettings::default());
    let message = with(&[("whatever the admin called it", &["Everyone", "admins"])]);
    let inclusive = |id: &str| {
        RSA.template(id).replace(
            "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>",
            "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"><ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"xs\"/></ds:Transform>",
        )
    };
    let sign =
        |xml: &str, id: &str| RSA.sign_templated(&xml.replacen("</saml:Issuer>", &format!("</saml:Issuer>{}", inclusive(id)), 1)).unwrap();
    let assertion = sign(&message.assertion(), &message.assertion_id);
    let clear = sign(&message.response(&assertion), &message.response_id);
    let encryption = Encryption { placement: Placement::Beside, ..for_us(ContentCipher::Aes256Gcm) };
    let encrypted = RSA.issue_around(&message, Sign::Nothing, &assertion, &encryption).unwrap();
    let both = sign(&encrypted, &message.response_id);
    for xml in [clear, encrypted, both] {
        assert_eq!(judged(&xml, &[&RSA], &connection).unwrap_or_else(|refusal| panic!("{refusal}")).1, ["Everyone", "admins"]);
    }
}

#[test]
fn entra_signs_the_assertion_sends_guids_and_leaves_a_link_where_there_are_too_many() {
    const GROUPS: &str = "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups";
    let connection = connection(&[("groups", GROUPS)], SamlSettings::default());
    let guid = "7e4bd6ea-6d3c-4bb0-9f9c-1f1f64bb7a54";
    let mut message = with(&[(GROUPS, &[guid])]);
    // Without a margin: the assertion begins to count in the millisecond of its making, as its clock has it.
    message.not_before = Some(Timestamp::from_millis(now().millis() + 1));
    let xml = RSA.issue(&message, Sign::Assertion).unwrap();
    assert_eq!(judged(&xml, &[&RSA], &connection).unwrap().1, [guid]);
    let overage = with(&[("http://schemas.microsoft.com/claims/groups.link", &["https://graph.windows.net/…"])]);
    let xml = RSA.issue(&overage, Sign::Assertion).unwrap();
    assert_eq!(judged(&xml, &[&RSA], &connection).unwrap().1, ["absent"], "nothing was said of groups");
    assert!(request::request_id([0x12; 16]).starts_with('_'), "it takes no request whose ID begins with a digit");
}

#[test]
fn ad_fs_publishes_its_next_certificate_and_signs_with_it_some_day() {
    let connection = connection(&[], SamlSettings::default());
    let before = RSA.issue(&message(), Sign::Assertion).unwrap();
    let after = OTHER_RSA.issue(&message(), Sign::Assertion).unwrap();
    for xml in [before, after] {
        judged(&xml, &[&RSA, &OTHER_RSA], &connection).unwrap();
    }
    let asked = AuthnRequest {
        id: request::request_id([1; 16]),
        destination: "https://adfs.example/adfs/ls/".to_owned(),
        issuer: SP.to_owned(),
        acs_url: ACS.to_owned(),
        name_id_format: None,
        force_authn: false,
        authn_context: None,
        issue_instant: now(),
    };
    assert!(!asked.to_xml().contains("NameIDPolicy"), "it may refuse a format, so none is asked for");
}

#[rstest]
fn google_signs_either_with_either_of_two_certificates(
    #[values(Sign::Assertion, Sign::Response)] sign: Sign,
    #[values(&RSA, &OTHER_RSA)] key: &LazyLock<IssuerKey>,
) {
    let xml = key.issue(&message(), sign).unwrap();
    judged(&xml, &[&RSA, &OTHER_RSA], &connection(&[], SamlSettings::default())).unwrap();
}

#[rstest]
fn onelogin_and_pingfederate_send_groups_as_one_value(#[values(Sign::Assertion, Sign::Response)] sign: Sign) {
    let settings = SamlSettings { group_delimiter: Some(";".to_owned()), ..SamlSettings::default() };
    let xml = RSA.issue(&with(&[("memberOf", &["staff;admins"])]), sign).unwrap();
    assert_eq!(judged(&xml, &[&RSA], &connection(&[("groups", "memberOf")], settings)).unwrap().1, ["staff", "admins"]);
    let whole = connection(&[("groups", "memberOf")], SamlSettings::default());
    assert_eq!(judged(&xml, &[&RSA], &whole).unwrap().1, ["staff;admins"], "only where the connection says so");
}

#[test]
fn keycloak_sends_one_attribute_element_for_each_group() {
    let xml = RSA.issue(&with(&[("Role", &["staff"]), ("Role", &["admins"])]), Sign::Both).unwrap();
    let connection = connection(&[("groups", "Role")], SamlSettings::default());
    assert_eq!(judged(&xml, &[&RSA], &connection).unwrap().1, ["staff", "admins"]);
    // Its metadata names a KeyDescriptor without `use`: that signs.
    let metadata = RSA.metadata("https://kc.example/realms/a", "https://kc.example/sso").replace(" use=\"signing\"", "");
    assert_eq!(IdpMetadata::parse(metadata.as_bytes()).unwrap().certificates, [RSA.certificate().clone()]);
}

#[test]
fn shibboleth_signs_the_response_encrypts_by_default_and_names_by_oid() {
    const MAIL: &str = "urn:oid:0.9.2342.19200300.100.1.3";
    const GROUPS: &str = "urn:oid:1.3.6.1.4.1.5923.1.5.1.1";
    let map = [("email", MAIL), ("groups", GROUPS)];
    let mut message = with(&[(MAIL, &["ada@example.com"]), (GROUPS, &["staff"])]);
    message.name_id =
        Some(NameId { value: "AAdzZWNyZXQx".to_owned(), format: Some("urn:oasis:names:tc:SAML:2.0:nameid-format:transient".to_owned()) });
    let issue = |content| RSA.issue_encrypted(&message, Sign::Response, &for_us(content)).unwrap();
    let by_mail = SamlSettings { subject_attribute: Some(MAIL.to_owned()), ..SamlSettings::default() };
    let connection_by_mail = connection(&map, by_mail.clone());
    assert_eq!(judged(&issue(ContentCipher::Aes128Gcm), &[&RSA], &connection_by_mail).unwrap().1, ["staff"]);
    let transient = judged(&issue(ContentCipher::Aes128Gcm), &[&RSA], &connection(&map, SamlSettings::default())).unwrap_err();
    assert_eq!(transient.step, Step::Identity, "a transient name keys no account: {transient}");
    // Before version 4 it encrypted with AES-CBC.
    let old = issue(ContentCipher::Aes128Cbc);
    assert_eq!(judged(&old, &[&RSA], &connection_by_mail).unwrap_err().code(), "cbc");
    judged(&old, &[&RSA], &connection(&map, SamlSettings { allow_cbc: true, ..by_mail })).unwrap();
}

#[test]
fn simplesamlphp_encrypts_with_cbc_alone_and_publishes_a_second_certificate() {
    let settings = SamlSettings { allow_cbc: true, ..SamlSettings::default() };
    for key in [&*RSA, &*OTHER_RSA] {
        let xml = key.issue_encrypted(&message(), Sign::Both, &for_us(ContentCipher::Aes128Cbc)).unwrap();
        judged(&xml, &[&RSA, &OTHER_RSA], &connection(&[], settings.clone())).unwrap();
    }
    let only_inside = RSA.issue_encrypted(&message(), Sign::Assertion, &for_us(ContentCipher::Aes128Cbc)).unwrap();
    let refusal = judged(&only_inside, &[&RSA], &connection(&[], settings)).unwrap_err();
    assert!(refusal.to_string().contains("let the identity provider sign the Response too"), "{refusal}");
}

#[test]
fn pysaml2_uses_3des_by_default_and_is_told_what_to_do() {
    let xml = RSA.issue_encrypted(&message(), Sign::Assertion, &for_us(ContentCipher::Aes256Gcm)).unwrap();
    let xml = xml.replace("http://www.w3.org/2009/xmlenc11#aes256-gcm", "http://www.w3.org/2001/04/xmlenc#tripledes-cbc");
    let refusal = judged(&xml, &[&RSA], &connection(&[], SamlSettings::default())).unwrap_err();
    assert_eq!((refusal.code(), refusal.step), ("tripledes", Step::Decryption));
    assert!(refusal.to_string().contains("AES-256-GCM"), "{refusal}");
}

#[rstest]
#[case("JumpCloud", "accepted")]
#[case("jumpcloud", "issuer")]
#[case("JumpCloud ", "issuer")]
fn the_entity_id_of_jumpcloud_is_free_text_compared_exactly(#[case] issuer: &str, #[case] expected: &str) {
    let settings = SamlSettings { idp_entity_id: "JumpCloud".to_owned(), ..SamlSettings::default() };
    let mut message = message();
    issuer.clone_into(&mut message.issuer);
    let xml = RSA.issue(&message, Sign::Both).unwrap();
    let code = judged(&xml, &[&RSA], &connection(&[], settings)).map_or_else(|refusal| refusal.code(), |_| "accepted");
    assert_eq!(code, expected);
}

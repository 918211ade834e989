//! The closed grammar of SAML responses: which children and attributes each element may have and how often, and what a signature may
//! say. What the table does not name is refused before any cryptography runs: that ends signature wrapping, fetches by reference,
//! transforms that compute, and void canonicalisation. It knows nothing of keys, clocks or connections.

use super::{
    element::{Element, Ns},
    refusal::{Refusal, Step},
};

use Ns::{Assertion as A, Encryption as E, ExcC14n as C, Protocol as P, Signature as D};

/// Where a document begins: a whole message, or an assertion by itself (verified bytes, later: decrypted ones).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Response,
    Assertion,
    LogoutRequest,
    LogoutResponse,
}

impl Root {
    pub(super) fn rule(self) -> &'static Rule {
        match self {
            Self::Response => rule(P, "Response", "").expect("the table names it"),
            Self::Assertion => rule(A, "Assertion", "").expect("the table names it"),
            Self::LogoutRequest => rule(P, "LogoutRequest", "").expect("the table names it"),
            Self::LogoutResponse => rule(P, "LogoutResponse", "").expect("the table names it"),
        }
    }

    /// The document that begins with this element.
    pub(super) fn of(element: &Element) -> Option<Self> {
        let all = [Self::Response, Self::Assertion, Self::LogoutRequest, Self::LogoutResponse];
        all.into_iter().find(|root| element.is(root.rule().ns, root.rule().name))
    }
}

/// What stands between the tags of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Elements of the table, white space between them.
    Elements,
    Text,
    /// Text and elements of any foreign vocabulary, which are never interpreted: no SAML message, no signature, no ID among them.
    Foreign,
    /// KeyInfo's data, which is never read: elements of XML Signature but Signature itself, no ID among them.
    KeyData,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub ns: Ns,
    pub name: &'static str,
    /// The only parent for which the row holds, where an element of one name is another one in another place.
    within: Option<&'static str>,
    pub content: Content,
    /// Unqualified attributes; `!` marks those that must be there.
    attributes: &'static [&'static str],
    /// Children with the least and greatest number of each.
    children: &'static [Child],
}

type Child = (Ns, &'static str, usize, usize);

const MANY: usize = usize::MAX;

/// Canonicalisation looks for each of them at every element. (Okta lists one, others up to five.)
const PREFIXES: usize = 10;

const fn elements(ns: Ns, name: &'static str, attributes: &'static [&'static str], children: &'static [Child]) -> Rule {
    Rule { ns, name, within: None, content: Content::Elements, attributes, children }
}

#[expect(clippy::needless_pass_by_value, reason = "rows are made on the spot, and a constant function cannot drop what it borrows")]
const fn within(parent: &'static str, rule: Rule) -> Rule {
    Rule { within: Some(parent), ..rule }
}

const fn text(ns: Ns, name: &'static str, attributes: &'static [&'static str]) -> Rule {
    Rule { ns, name, within: None, content: Content::Text, attributes, children: &[] }
}

const fn open(ns: Ns, name: &'static str, content: Content) -> Rule {
    Rule { ns, name, within: None, content, attributes: &[], children: &[] }
}

static TABLE: &[Rule] = &[
    elements(
        P,
        "Response",
        &["!ID", "!Version", "!IssueInstant", "Destination", "Consent", "InResponseTo"],
        &[(A, "Issuer", 0, 1), (D, "Signature", 0, 1), (P, "Status", 1, 1), (A, "Assertion", 0, 1), (A, "EncryptedAssertion", 0, 1)],
    ),
    elements(
        P,
        "LogoutRequest",
        &["!ID", "!Version", "!IssueInstant", "Destination", "Consent", "Reason", "NotOnOrAfter"],
        &[(A, "Issuer", 1, 1), (D, "Signature", 0, 1), (A, "NameID", 1, 1), (P, "SessionIndex", 0, 64)],
    ),
    text(P, "SessionIndex", &[]),
    elements(
        P,
        "LogoutResponse",
        &["!ID", "!Version", "!IssueInstant", "Destination", "Consent", "InResponseTo"],
        &[(A, "Issuer", 1, 1), (D, "Signature", 0, 1), (P, "Status", 1, 1)],
    ),
    elements(P, "Status", &[], &[(P, "StatusCode", 1, 1), (P, "StatusMessage", 0, 1), (P, "StatusDetail", 0, 1)]),
    elements(P, "StatusCode", &["!Value"], &[(P, "StatusCode", 0, 1)]),
    text(P, "StatusMessage", &[]),
    open(P, "StatusDetail", Content::Foreign),
    elements(
        A,
        "Assertion",
        &["!ID", "!Version", "!IssueInstant"],
        &[
            (A, "Issuer", 1, 1),
            (D, "Signature", 0, 1),
            (A, "Subject", 0, 1),
            (A, "Conditions", 0, 1),
            (A, "AuthnStatement", 0, 8),
            (A, "AttributeStatement", 0, 8),
        ],
    ),
    text(A, "Issuer", &["Format", "NameQualifier", "SPNameQualifier"]),
    elements(A, "Subject", &[], &[(A, "NameID", 0, 1), (A, "SubjectConfirmation", 0, 8)]),
    text(A, "NameID", &["Format", "NameQualifier", "SPNameQualifier", "SPProvidedID"]),
    elements(A, "SubjectConfirmation", &["!Method"], &[(A, "SubjectConfirmationData", 0, 1)]),
    elements(A, "SubjectConfirmationData", &["NotBefore", "NotOnOrAfter", "Recipient", "InResponseTo", "Address"], &[]),
    elements(
        A,
        "Conditions",
        &["NotBefore", "NotOnOrAfter"],
        &[(A, "AudienceRestriction", 0, 16), (A, "OneTimeUse", 0, 1), (A, "ProxyRestriction", 0, 1)],
    ),
    elements(A, "AudienceRestriction", &[], &[(A, "Audience", 1, 64)]),
    text(A, "Audience", &[]),
    elements(A, "OneTimeUse", &[], &[]),
    elements(A, "ProxyRestriction", &["Count"], &[(A, "Audience", 0, 64)]),
    elements(
        A,
        "AuthnStatement",
        &["!AuthnInstant", "SessionIndex", "SessionNotOnOrAfter"],
        &[(A, "SubjectLocality", 0, 1), (A, "AuthnContext", 1, 1)],
    ),
    elements(A, "SubjectLocality", &["Address", "DNSName"], &[]),
    elements(
        A,
        "AuthnContext",
        &[],
        &[(A, "AuthnContextClassRef", 0, 1), (A, "AuthnContextDeclRef", 0, 1), (A, "AuthenticatingAuthority", 0, 16)],
    ),
    text(A, "AuthnContextClassRef", &[]),
    text(A, "AuthnContextDeclRef", &[]),
    text(A, "AuthenticatingAuthority", &[]),
    elements(A, "AttributeStatement", &[], &[(A, "Attribute", 0, MANY)]),
    elements(A, "Attribute", &["!Name", "NameFormat", "FriendlyName"], &[(A, "AttributeValue", 0, MANY)]),
    open(A, "AttributeValue", Content::Foreign),
    elements(D, "Signature", &["Id"], &[(D, "SignedInfo", 1, 1), (D, "SignatureValue", 1, 1), (D, "KeyInfo", 0, 1)]),
    elements(D, "SignedInfo", &["Id"], &[(D, "CanonicalizationMethod", 1, 1), (D, "SignatureMethod", 1, 1), (D, "Reference", 1, 1)]),
    elements(D, "CanonicalizationMethod", &["!Algorithm"], &[(C, "InclusiveNamespaces", 0, 1)]),
    elements(D, "SignatureMethod", &["!Algorithm"], &[]),
    elements(D, "Reference", &["!URI", "Id"], &[(D, "Transforms", 1, 1), (D, "DigestMethod", 1, 1), (D, "DigestValue", 1, 1)]),
    elements(D, "Transforms", &[], &[(D, "Transform", 2, 2)]),
    elements(D, "Transform", &["!Algorithm"], &[(C, "InclusiveNamespaces", 0, 1)]),
    elements(C, "InclusiveNamespaces", &["!PrefixList"], &[]),
    elements(D, "DigestMethod", &["!Algorithm"], &[]),
    text(D, "DigestValue", &[]),
    text(D, "SignatureValue", &["Id"]),
    elements(D, "KeyInfo", &["Id"], &[(D, "X509Data", 0, 8), (D, "KeyName", 0, 8), (D, "KeyValue", 0, 1)]),
    open(D, "X509Data", Content::KeyData),
    text(D, "KeyName", &[]),
    open(D, "KeyValue", Content::KeyData),
    // SAML core, 2.3.4: the EncryptedKey stands inside KeyInfo or, as Okta writes it, beside EncryptedData.
    elements(A, "EncryptedAssertion", &[], &[(E, "EncryptedData", 1, 1), (E, "EncryptedKey", 0, 1)]),
    elements(
        E,
        "EncryptedData",
        &["Id", "Type", "MimeType", "Encoding"],
        &[(E, "EncryptionMethod", 1, 1), (D, "KeyInfo", 0, 1), (E, "CipherData", 1, 1)],
    ),
    within(
        "EncryptedData",
        elements(
            D,
            "KeyInfo",
            &["Id"],
            &[(E, "EncryptedKey", 0, 1), (D, "RetrievalMethod", 0, 1), (D, "X509Data", 0, 8), (D, "KeyName", 0, 8)],
        ),
    ),
    elements(D, "RetrievalMethod", &["!URI", "Type"], &[]),
    elements(
        E,
        "EncryptedKey",
        &["Id", "Type", "MimeType", "Encoding", "Recipient"],
        &[
            (E, "EncryptionMethod", 1, 1),
            (D, "KeyInfo", 0, 1),
            (E, "CipherData", 1, 1),
            (E, "ReferenceList", 0, 1),
            (E, "CarriedKeyName", 0, 1),
        ],
    ),
    elements(
        E,
        "EncryptionMethod",
        &["!Algorithm"],
        &[(E, "KeySize", 0, 1), (E, "OAEPparams", 0, 1), (D, "DigestMethod", 0, 1), (Ns::Encryption11, "MGF", 0, 1)],
    ),
    text(E, "KeySize", &[]),
    text(E, "OAEPparams", &[]),
    elements(Ns::Encryption11, "MGF", &["!Algorithm"], &[]),
    elements(E, "CipherData", &[], &[(E, "CipherValue", 1, 1)]),
    text(E, "CipherValue", &[]),
    elements(E, "ReferenceList", &[], &[(E, "DataReference", 0, 4)]),
    elements(E, "DataReference", &["!URI"], &[]),
    text(E, "CarriedKeyName", &[]),
];

/// The row of an element below that parent.
fn rule(ns: Ns, name: &str, parent: &str) -> Option<&'static Rule> {
    let named = || TABLE.iter().filter(|rule| rule.ns == ns && rule.name == name);
    named().find(|rule| rule.within == Some(parent)).or_else(|| named().find(|rule| rule.within.is_none()))
}

fn refuse(code: &'static str, what: impl Into<String>) -> Refusal {
    Refusal::new(Step::Structure, code, what)
}

impl Rule {
    /// The rule of a child that may stand here once more.
    pub(super) fn child(&self, ns: Ns, name: &str, before: &[Element]) -> Result<&'static Rule, Refusal> {
        let Some(&(.., most)) = self.children.iter().find(|child| child.0 == ns && child.1 == name) else {
            return Err(self.stranger(ns, name));
        };
        if most != MANY && before.iter().filter(|e| e.is(ns, name)).count() >= most {
            return Err(refuse("repeated", format!("{name} stands more often than {most} times in {}", self.name)));
        }
        Ok(rule(ns, name, self.name).expect("every child in the table has a row of its own"))
    }

    /// Named refusals for what messages really carry and this profile does not take.
    fn stranger(&self, ns: Ns, name: &str) -> Refusal {
        let encrypted = |code, what: &str| Refusal::new(Step::Decryption, code, format!("{what} encrypted"));
        match (ns, name) {
            (E, "CipherReference") => Refusal::new(Step::Decryption, "cipher_reference", "the ciphertext stands elsewhere")
                .cure("let the identity provider send it in the message: nothing is fetched"),
            (A, "EncryptedID") => encrypted("encrypted_id", "the NameID is").cure("let the identity provider send it unencrypted"),
            (A, "EncryptedAttribute") => {
                encrypted("encrypted_attribute", "an attribute is").cure("let the identity provider send attributes unencrypted")
            }
            _ => refuse("unexpected_element", format!("element {name:.64} may not stand in {}", self.name)),
        }
    }

    /// The table's own spelling of an attribute that may stand here.
    pub(super) fn attribute(&self, ns: Ns, name: &str) -> Result<Option<&'static str>, Refusal> {
        let refused = || Err(refuse("unexpected_attribute", format!("attribute {name:.64} may not stand on {}", self.name)));
        match ns {
            Ns::None => match self.attributes.iter().map(|a| a.trim_start_matches('!')).find(|a| *a == name) {
                Some(known) => Ok(Some(known)),
                None => refused(),
            },
            Ns::SchemaInstance if name == "type" && self.name != "AttributeValue" => {
                Err(refuse("xsi_type", format!("xsi:type stands on {}, where it could change what the element is", self.name)))
            }
            // AD FS and others: xsi:nil, xml:lang, a:OriginalIssuer.
            _ if matches!(self.name, "Attribute" | "AttributeValue") && self.ns == A && foreign_attribute(ns, name) => Ok(None),
            _ => refused(),
        }
    }

    /// Called at the end tag: everything that must be there is.
    pub(super) fn complete(&self, element: &Element) -> Result<(), Refusal> {
        for &(ns, name, least, _) in self.children {
            if least > 0 && element.children(ns, name).count() < least {
                return Err(refuse("missing_element", format!("{name} is missing in {}", self.name)));
            }
        }
        for name in self.attributes.iter().filter_map(|a| a.strip_prefix('!')) {
            if element.attribute(name).is_none() {
                return Err(refuse("missing_attribute", format!("attribute {name} is missing on {}", self.name)));
            }
        }
        if self.ns == C && element.attribute("PrefixList").is_some_and(|list| list.split_ascii_whitespace().count() > PREFIXES) {
            return Err(refuse("prefix_list", format!("the PrefixList of {} has more than {PREFIXES} prefixes", self.name)));
        }
        if self.content == Content::Elements && !element.text.bytes().all(|b| b.is_ascii_whitespace()) {
            return Err(refuse("unexpected_text", format!("text may not stand in {}", self.name)));
        }
        Ok(())
    }
}

/// Whether an attribute from outside SAML is harmless: neither an ID (libxml2 looks for them in every namespace) nor a schema.
pub(super) fn foreign_attribute(ns: Ns, name: &str) -> bool {
    let schema = ns == Ns::SchemaInstance && !matches!(name, "type" | "nil");
    !schema && !name.eq_ignore_ascii_case("id") && !name.eq_ignore_ascii_case("AssertionID")
}

/// Whether an element may stand among foreign content.
pub(super) fn foreign_element(content: Content, ns: Ns, name: &str) -> Result<(), Refusal> {
    let allowed = match content {
        // eduPersonTargetedID holds a NameID; nothing else of SAML belongs into a value.
        Content::Foreign => !matches!(ns, P | D | E | Ns::Encryption11) && (ns != A || name == "NameID"),
        Content::KeyData => matches!(ns, D | Ns::Signature11) && !matches!(name, "Signature" | "Object" | "RetrievalMethod" | "SignedInfo"),
        Content::Elements | Content::Text => false,
    };
    if allowed { Ok(()) } else { Err(refuse("unexpected_element", format!("element {name:.64} may not stand inside a value"))) }
}

/// Which family of keys a signature was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Rsa,
    Ec,
}

const EXC_C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
pub(super) const SHA1_CURE: &str = "SHA-1 is broken: set the signature and digest algorithm to SHA-256 at the identity provider";

/// What the table cannot say: exactly one assertion in a response that reports success, Issuer formats, and every signature's algorithms,
/// reference and transforms. Returns the key family of each signature, the response's first.
pub(super) fn check(root: &Element) -> Result<Vec<Family>, Refusal> {
    let mut families = Vec::new();
    if matches!(Root::of(root), Some(Root::LogoutRequest | Root::LogoutResponse)) {
        families.extend(check_holder(root)?);
        return Ok(families);
    }
    let assertion = if root.is(P, "Response") {
        families.extend(check_holder(root)?);
        root.child(A, "Assertion")
    } else {
        Some(root)
    };
    let encrypted = root.child(A, "EncryptedAssertion");
    if assertion.is_some() && encrypted.is_some() {
        return Err(refuse("repeated", "there are an Assertion and an EncryptedAssertion in Response").expected("one of them"));
    }
    if let Some(assertion) = assertion {
        families.extend(check_holder(assertion)?);
    } else if encrypted.is_none() && success(root) {
        return Err(refuse("missing_element", "Assertion is missing in Response"));
    }
    Ok(families)
}

pub(super) const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";

fn success(response: &Element) -> bool {
    let code = response.child(P, "Status").and_then(|status| status.child(P, "StatusCode"));
    code.and_then(|code| code.attribute("Value")) == Some(SUCCESS)
}

fn check_holder(holder: &Element) -> Result<Option<Family>, Refusal> {
    // SAML profiles, 4.1.4.2: the Format of an issuer is omitted or "entity".
    if let Some(format) = holder.child(A, "Issuer").and_then(|issuer| issuer.attribute("Format"))
        && format != "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
    {
        return Err(refuse("issuer_format", format!("the Format of the Issuer of {}", holder.name)).got(format).expected("…:entity"));
    }
    holder.child(D, "Signature").map(|signature| check_signature(holder, signature)).transpose()
}

fn check_signature(holder: &Element, signature: &Element) -> Result<Family, Refusal> {
    let named =
        |element: &Element, name| element.child(D, name).cloned().ok_or_else(|| refuse("missing_element", format!("{name} is missing")));
    let algorithm = |element: &Element| element.attribute("Algorithm").unwrap_or_default().to_owned();
    let info = named(signature, "SignedInfo")?;

    let canonical = named(&info, "CanonicalizationMethod")?;
    let (family, reference) = (signature_method(&algorithm(&named(&info, "SignatureMethod")?))?, named(&info, "Reference")?);
    if algorithm(&canonical) != EXC_C14N {
        return Err(refuse("canonicalization", format!("the CanonicalizationMethod of the signature on {}", holder.name))
            .got(algorithm(&canonical))
            .expected(EXC_C14N));
    }
    // The one reference is to the element that holds the signature: `URI` is `#` and the parent's ID.
    let (uri, id) = (reference.attribute("URI").unwrap_or_default(), holder.attribute("ID").unwrap_or_default());
    if uri.strip_prefix('#') != Some(id) || id.is_empty() {
        return Err(refuse("reference", format!("the signature on {} refers to something else", holder.name))
            .got(uri)
            .expected(format!("#{id}")));
    }
    let transforms: Vec<_> = named(&reference, "Transforms")?.children.iter().map(algorithm).collect();
    if transforms != [ENVELOPED, EXC_C14N] {
        return Err(refuse("transforms", format!("the transforms of the signature on {}", holder.name))
            .got(transforms.join(" "))
            .expected(format!("{ENVELOPED} {EXC_C14N}")));
    }
    // InclusiveNamespaces belong to the canonicalisation, not to the enveloped-signature transform, but some toolkits write it on both.
    digest_method(&algorithm(&named(&reference, "DigestMethod")?))?;
    Ok(family)
}

fn signature_method(algorithm: &str) -> Result<Family, Refusal> {
    match algorithm.strip_prefix("http://www.w3.org/2001/04/xmldsig-more#") {
        Some("rsa-sha256" | "rsa-sha384" | "rsa-sha512") => Ok(Family::Rsa),
        Some("ecdsa-sha256" | "ecdsa-sha384" | "ecdsa-sha512") => Ok(Family::Ec),
        _ => Err(unknown_algorithm("the SignatureMethod", algorithm).expected("RSA or ECDSA with SHA-256, SHA-384 or SHA-512")),
    }
}

fn digest_method(algorithm: &str) -> Result<(), Refusal> {
    match algorithm {
        "http://www.w3.org/2001/04/xmlenc#sha256"
        | "http://www.w3.org/2001/04/xmldsig-more#sha384"
        | "http://www.w3.org/2001/04/xmlenc#sha512" => Ok(()),
        _ => Err(unknown_algorithm("the DigestMethod", algorithm).expected("SHA-256, SHA-384 or SHA-512")),
    }
}

fn unknown_algorithm(what: &'static str, algorithm: &str) -> Refusal {
    if algorithm.ends_with("sha1") { refuse("sha1", what).got(algorithm).cure(SHA1_CURE) } else { refuse("algorithm", what).got(algorithm) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_child_in_the_table_has_one_row_and_every_row_is_reached() {
        for row in TABLE {
            let same = |other: &&Rule| other.ns == row.ns && other.name == row.name && other.within == row.within;
            assert_eq!(TABLE.iter().filter(same).count(), 1, "{}", row.name);
            let root = matches!(row.name, "Response" | "Assertion" | "LogoutRequest" | "LogoutResponse");
            let reached = TABLE.iter().any(|parent| parent.children.iter().any(|child| child.0 == row.ns && child.1 == row.name));
            assert!(root || reached, "{} is in no other element", row.name);
            for &(ns, name, least, most) in row.children {
                assert!(rule(ns, name, row.name).is_some(), "{name} in {} has no row", row.name);
                assert!(least <= most);
            }
            assert!(row.content == Content::Elements || row.children.is_empty());
        }
    }

    #[test]
    fn a_document_holds_one_assertion_and_a_signature_only_where_it_is_judged() {
        let holders: Vec<_> =
            TABLE.iter().filter(|row| row.children.iter().any(|child| child.1 == "Signature")).map(|row| row.name).collect();
        assert_eq!(holders, ["Response", "LogoutRequest", "LogoutResponse", "Assertion"]);
        let assertions = TABLE.iter().flat_map(|row| row.children).filter(|child| child.1 == "Assertion");
        assert_eq!(assertions.copied().collect::<Vec<_>>(), [(A, "Assertion", 0, 1)]);
    }
}

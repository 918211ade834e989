//! A signature says how it is to be computed. What it may say is little: anything that is weak, that computes, that fetches, or that
//! leaves out what is read, is refused before anything is computed.

use openssl::hash::MessageDigest;

use super::{
    Case,
    craft::{Forge, forged, issue},
};
use rolegate::saml::issuer::Sign;

const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
const EXCLUSIVE: &str = "CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"";
const EXCLUSIVE_TRANSFORM: &str = "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>";
const ENVELOPED: &str = "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>";

const fn structure(says: &'static str) -> (&'static str, &'static str) {
    ("structure", says)
}

pub fn cases() -> Vec<Case> {
    [methods(), forgeries(), digests(), canonical_forms(), transforms(), references(), key_info()].into_iter().flatten().collect()
}

fn methods() -> Vec<Case> {
    const METHOD: (&str, &str) = structure("the SignatureMethod");
    let method = |name: &str, hostile| Case::template(name, METHOD, RSA_SHA256, RSA_SHA256, hostile);
    vec![
        method("RSA with SHA-1", "http://www.w3.org/2000/09/xmldsig#rsa-sha1"),
        method("RSA with MD5", "http://www.w3.org/2001/04/xmldsig-more#rsa-md5"),
        method("RSA with RIPEMD", "http://www.w3.org/2001/04/xmldsig-more#rsa-ripemd160"),
        method("RSA with SHA-224", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha224"),
        method("DSA with SHA-1", "http://www.w3.org/2000/09/xmldsig#dsa-sha1"),
        method("ECDSA with SHA-1", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1"),
        method("no algorithm", "none"),
        method("an empty algorithm", ""),
        method("RSA encryption as a signature", "http://www.w3.org/2001/04/xmlenc#rsa-1_5"),
        method("a digest as a signature", "http://www.w3.org/2001/04/xmlenc#sha256"),
        method("the right name with white space", " http://www.w3.org/2001/04/xmldsig-more#rsa-sha256 "),
        method("the right name in capitals", "http://www.w3.org/2001/04/xmldsig-more#RSA-SHA256"),
        method("the right name over https", "https://www.w3.org/2001/04/xmldsig-more#rsa-sha256"),
        Case::template(
            "two signature methods",
            structure("SignatureMethod stands more often"),
            "<ds:Reference ",
            "<ds:Reference ",
            "<ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#hmac-sha256\"/><ds:Reference ",
        ),
        Case::template(
            "a length of the HMAC",
            structure("HMACOutputLength"),
            "#rsa-sha256\"/>",
            "#rsa-sha256\"/>",
            "#rsa-sha256\"><ds:HMACOutputLength>8</ds:HMACOutputLength></ds:SignatureMethod>",
        ),
    ]
}

fn forgeries() -> Vec<Case> {
    let forged_by = |name: &str, refused, method: &'static str, forge: fn() -> Forge| {
        Case::xml(name, refused, move |scene, kind| {
            kind.pick::<&dyn Fn() -> String>(&|| issue(&scene.message, Sign::Assertion), &|| forged(&scene.message, method, &forge()))()
        })
    };
    const METHOD: (&str, &str) = structure("the SignatureMethod");
    const VALUE: (&str, &str) = ("signature", "none of the pinned certificates");
    vec![
        forged_by("HMAC with SHA-256, keyed with the public key", METHOD, "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256", || {
            Forge::HmacOfPublicKey(MessageDigest::sha256())
        }),
        forged_by("HMAC with SHA-256, keyed with the certificate", METHOD, "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256", || {
            Forge::HmacOfCertificate(MessageDigest::sha256())
        }),
        forged_by("HMAC with SHA-1, keyed with the public key", METHOD, "http://www.w3.org/2000/09/xmldsig#hmac-sha1", || {
            Forge::HmacOfPublicKey(MessageDigest::sha1())
        }),
        forged_by("HMAC said to be RSA", VALUE, RSA_SHA256, || Forge::HmacOfPublicKey(MessageDigest::sha256())),
        forged_by("a key of 1024 bits", VALUE, RSA_SHA256, || Forge::WeakRsa),
        forged_by("a key on a curve said to be RSA", VALUE, RSA_SHA256, || Forge::OddCurve),
        forged_by("an RSA key said to be on a curve", VALUE, "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", || Forge::WeakRsa),
        forged_by("padding without a signature", VALUE, RSA_SHA256, || Forge::NoKey),
        forged_by("zeros in the length of the key", VALUE, RSA_SHA256, || Forge::Zeros(256)),
        forged_by("one zero", VALUE, RSA_SHA256, || Forge::Zeros(1)),
        forged_by("ECDSA of zeros", VALUE, "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", || Forge::Zeros(64)),
        forged_by("a signature of SHA-256 said to be of SHA-512", VALUE, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", || {
            Forge::WeakRsa
        }),
        Case::xml("ECDSA of zeros where the key is on a curve", VALUE, |scene, kind| {
            let _ = scene;
            kind.pick::<&dyn Fn() -> String>(&|| issue(&scene.message, Sign::Assertion), &|| {
                forged(&scene.message, "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", &Forge::Zeros(64))
            })()
        }),
    ]
}

fn digests() -> Vec<Case> {
    let digest = |name: &str, hostile| Case::template(name, structure("the DigestMethod"), SHA256, SHA256, hostile);
    vec![
        digest("a digest of SHA-1", "http://www.w3.org/2000/09/xmldsig#sha1"),
        digest("a digest of MD5", "http://www.w3.org/2001/04/xmldsig-more#md5"),
        digest("a digest of RIPEMD", "http://www.w3.org/2001/04/xmlenc#ripemd160"),
        digest("no digest", ""),
        Case::template(
            "a digest of another name for SHA-384",
            structure("the DigestMethod"),
            SHA256,
            "http://www.w3.org/2001/04/xmldsig-more#sha384",
            "http://www.w3.org/2001/04/xmlenc#sha384",
        ),
        Case::template(
            "two digest methods",
            structure("DigestMethod stands more often"),
            "<ds:DigestValue>",
            "<ds:DigestValue>",
            "<ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha512\"/><ds:DigestValue>",
        ),
    ]
}

fn canonical_forms() -> Vec<Case> {
    let form = |name: &str, hostile| Case::template(name, structure("the CanonicalizationMethod"), EXCLUSIVE, EXCLUSIVE, hostile);
    vec![
        form("inclusive canonical form", "CanonicalizationMethod Algorithm=\"http://www.w3.org/TR/2001/REC-xml-c14n-20010315\""),
        form("inclusive canonical form, version 1.1", "CanonicalizationMethod Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\""),
        form("canonical form with comments", "CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#WithComments\""),
        form("a style sheet as canonical form", "CanonicalizationMethod Algorithm=\"http://www.w3.org/TR/1999/REC-xslt-19991116\""),
        form("no canonical form", "CanonicalizationMethod Algorithm=\"\""),
        Case::template(
            "two canonical forms",
            structure("CanonicalizationMethod stands more often"),
            "<ds:SignatureMethod ",
            "<ds:SignatureMethod ",
            "<ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/><ds:SignatureMethod ",
        ),
    ]
}

fn transforms() -> Vec<Case> {
    const TRANSFORMS: (&str, &str) = structure("the transforms");
    let last = |name: &str, refused, hostile| Case::template(name, refused, EXCLUSIVE_TRANSFORM, EXCLUSIVE_TRANSFORM, hostile);
    let first = |name: &str, refused, hostile| Case::template(name, refused, ENVELOPED, ENVELOPED, hostile);
    vec![
        first("no enveloped-signature transform", structure("Transform is missing"), ""),
        last("no canonical form of the content", structure("Transform is missing"), ""),
        last(
            "the transforms in the other order",
            TRANSFORMS,
            "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>",
        ),
        first("twice the canonical form", TRANSFORMS, EXCLUSIVE_TRANSFORM),
        first(
            "three transforms",
            structure("Transform stands more often"),
            "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/><ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>",
        ),
        first(
            "XPath",
            structure(""),
            "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath>not(ancestor-or-self::saml:NameID)</ds:XPath></ds:Transform>",
        ),
        first("XPath without its expression", TRANSFORMS, "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"/>"),
        first(
            "XPath filter 2.0",
            structure(""),
            "<ds:Transform Algorithm=\"http://www.w3.org/2002/06/xmldsig-filter2\"><f:XPath xmlns:f=\"http://www.w3.org/2002/06/xmldsig-filter2\" Filter=\"subtract\">//*</f:XPath></ds:Transform>",
        ),
        Case::altered(
            "a style sheet",
            structure(""),
            ENVELOPED,
            ENVELOPED,
            "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xslt-19991116\"><xsl:stylesheet xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" version=\"1.0\"><xsl:template match=\"/\"><xsl:copy-of select=\"document('http://internal.example/')\"/></xsl:template></xsl:stylesheet></ds:Transform>",
        ),
        first("base64", TRANSFORMS, "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#base64\"/>"),
        first("XPointer", TRANSFORMS, "<ds:Transform Algorithm=\"http://www.w3.org/2001/04/xmldsig-more/xptr\"/>"),
        last(
            "inclusive canonical form of the content",
            TRANSFORMS,
            "<ds:Transform Algorithm=\"http://www.w3.org/TR/2001/REC-xml-c14n-20010315\"/>",
        ),
        last(
            "canonical form of the content with comments",
            TRANSFORMS,
            "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#WithComments\"/>",
        ),
        last(
            "an element of nobody's in a transform",
            structure("may not stand in Transform"),
            "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"><x/></ds:Transform>",
        ),
        Case::template(
            "two lists of transforms",
            structure("Transforms stands more often"),
            "<ds:DigestMethod ",
            "<ds:DigestMethod ",
            "<ds:Transforms><ds:Transform Algorithm=\"a\"/><ds:Transform Algorithm=\"b\"/></ds:Transforms><ds:DigestMethod ",
        ),
        Case::template(
            "no transforms",
            structure("Transforms is missing"),
            "<ds:Transforms><ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/><ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/></ds:Transforms>",
            "<ds:Transforms><ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/><ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/></ds:Transforms>",
            "",
        ),
        Case::xml("namespaces to be included without bound", structure("PrefixList"), |scene, kind| {
            let prefixes = kind.pick("xs xsi #default".to_owned(), "a ".repeat(1000));
            let inclusive = format!(
                "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"><ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"{prefixes}\"/></ds:Transform>"
            );
            let template = crate::common::idp::KEY.template(&scene.message.assertion_id).replace(EXCLUSIVE_TRANSFORM, &inclusive);
            scene.message.response(&super::craft::sign_by_template(&scene.message.assertion(), &template))
        }),
    ]
}

fn references() -> Vec<Case> {
    const ELSEWHERE: (&str, &str) = structure("refers to something else");
    let uri = |name: &str, refused, make: fn(&str) -> String| {
        Case::xml(name, refused, move |scene, kind| {
            let id = &scene.message.assertion_id;
            // Altered after signing: whoever computes such a signature fetches what it names.
            let genuine = issue(&scene.message, Sign::Assertion);
            let hostile = super::craft::replaced(&genuine, &format!("URI=\"#{id}\""), &make(id));
            kind.pick(genuine, hostile)
        })
    };
    vec![
        uri("an empty reference", ELSEWHERE, |_| "URI=\"\"".to_owned()),
        uri("a reference without its number sign", ELSEWHERE, |id| format!("URI=\"{id}\"")),
        uri("only the number sign", ELSEWHERE, |_| "URI=\"#\"".to_owned()),
        uri("an XPointer to the ID", ELSEWHERE, |id| format!("URI=\"#xpointer(id('{id}'))\"")),
        uri("an XPointer to the root", ELSEWHERE, |_| "URI=\"#xpointer(/)\"".to_owned()),
        uri("an element scheme", ELSEWHERE, |_| "URI=\"#element(/1)\"".to_owned()),
        uri("a reference to a file", ELSEWHERE, |_| "URI=\"file:///etc/passwd\"".to_owned()),
        uri("a reference to an address", ELSEWHERE, |_| "URI=\"http://169.254.169.254/latest/\"".to_owned()),
        uri("a reference to an address with the ID behind it", ELSEWHERE, |id| format!("URI=\"http://internal.example/#{id}\"")),
        uri("the ID with an escape in it", ELSEWHERE, |id| format!("URI=\"#%5F{}\"", &id[1..])),
        uri("no URI", structure("URI is missing"), |_| "Id=\"_r\"".to_owned()),
        uri("a type of reference", structure("attribute Type"), |id| {
            format!("Type=\"http://www.w3.org/2000/09/xmldsig#Object\" URI=\"#{id}\"")
        }),
        Case::template(
            "two references",
            structure("Reference stands more often"),
            "<ds:Reference ",
            "<ds:Reference ",
            "<ds:Reference URI=\"#_x\"><ds:Transforms><ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/><ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/></ds:Transforms><ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/><ds:DigestValue></ds:DigestValue></ds:Reference><ds:Reference ",
        ),
    ]
}

fn key_info() -> Vec<Case> {
    let before = |name: &str, hostile| {
        Case::altered(name, structure("may not stand"), "<ds:KeyInfo>", "<ds:KeyInfo><ds:KeyName>any</ds:KeyName>", hostile)
    };
    vec![
        before("a key to be retrieved", "<ds:KeyInfo><ds:RetrievalMethod URI=\"http://internal.example/\"/>"),
        before(
            "a key to be retrieved from an address in X509Data",
            "<ds:KeyInfo><ds:X509Data><ds:RetrievalMethod URI=\"file:///etc/passwd\"/></ds:X509Data>",
        ),
        before("PGP data", "<ds:KeyInfo><ds:PGPData/>"),
        before("an encrypted key", "<ds:KeyInfo><xenc:EncryptedKey xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\"/>"),
        before("an Object in the signature", "<ds:Object>x</ds:Object><ds:KeyInfo>"),
        before("a Manifest in the signature", "<ds:Object><ds:Manifest/></ds:Object><ds:KeyInfo>"),
    ]
}

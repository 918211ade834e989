//! What two readers of the same text could see differently: comments, processing instructions, CDATA, entities, document types, white
//! space, line ends, in the places where it matters.

use super::{Case, craft};

fn comment(name: &str, from: &'static str, control: &'static str, hostile: &'static str) -> Vec<Case> {
    // Canonicalisation drops comments: the signature of the genuine text holds over the altered one.
    vec![
        Case::altered(&format!("a comment in {name}, put in after signing"), ("scan", "a comment"), from, from, hostile),
        Case::signed(&format!("a comment in {name}, signed"), ("scan", "a comment"), from, control, hostile),
    ]
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(comment(
        "the NameID",
        "ada@acme.example</saml:NameID>",
        "ada@acme.example</saml:NameID>",
        "ada@acme.example<!---->.evil.example</saml:NameID>",
    ));
    cases.extend(comment("a group", ">platform-admins<", ">platform-admins<", ">platform-<!-- x -->admins<"));
    cases.extend(comment("the Audience", "</saml:Audience>", "</saml:Audience>", "<!-- --></saml:Audience>"));
    cases.extend(comment("the Issuer", "</saml:Issuer>", "</saml:Issuer>", "<!-- --></saml:Issuer>"));
    cases.extend(processing());
    cases.extend(entities());
    cases.extend(documents());
    cases.extend(digests());
    cases
}

fn processing() -> Vec<Case> {
    const PI: (&str, &str) = ("scan", "a processing instruction");
    vec![
        Case::altered(
            "a processing instruction in the NameID",
            PI,
            "ada@acme.example</saml:NameID>",
            "ada@acme.example</saml:NameID>",
            "ada@acme.example<?x ?>.evil</saml:NameID>",
        ),
        Case::signed(
            "a processing instruction in a signed NameID",
            PI,
            "ada@acme.example</saml:NameID>",
            "ada@acme.example</saml:NameID>",
            "ada@acme.example<?x ?></saml:NameID>",
        ),
        Case::signed("a processing instruction in a group", PI, ">platform-admins<", ">platform-admins<", ">platform-<?x?>admins<"),
        Case::altered(
            "a style sheet before the Response",
            PI,
            "<samlp:Response",
            "<samlp:Response",
            "<?xml-stylesheet href=\"http://internal.example/x.xsl\" type=\"text/xsl\"?><samlp:Response",
        ),
        Case::altered(
            "a processing instruction behind the Response",
            PI,
            "</samlp:Response>",
            "</samlp:Response>",
            "</samlp:Response><?x?>",
        ),
        Case::altered(
            "a comment before the Response",
            ("scan", "a comment"),
            "<samlp:Response",
            "<samlp:Response",
            "<!-- --><samlp:Response",
        ),
        Case::altered(
            "a comment behind the Response",
            ("scan", "a comment"),
            "</samlp:Response>",
            "</samlp:Response>\n",
            "</samlp:Response><!-- -->",
        ),
        Case::altered(
            "a comment between the statements",
            ("scan", "a comment"),
            "<saml:AuthnStatement ",
            "<saml:AuthnStatement ",
            "<!-- x --><saml:AuthnStatement ",
        ),
    ]
}

fn entities() -> Vec<Case> {
    const MALFORMED: (&str, &str) = ("scan", "not well-formed");
    let in_name = |name: &str, refused, control, hostile| Case::signed(name, refused, "ada@acme.example</saml:NameID>", control, hostile);
    vec![
        // In CDATA the text is the same; what is refused is what it says.
        in_name(
            "CDATA around white space at the end of the NameID",
            ("identity", "white space"),
            "<![CDATA[ada@acme.example]]></saml:NameID>",
            "ada@acme.example<![CDATA[ ]]></saml:NameID>",
        ),
        in_name(
            "CDATA with markup in the NameID",
            ("identity", "NameID"),
            "ada<![CDATA[@]]>acme.example</saml:NameID>",
            "ada@acme.example<![CDATA[\n<b>]]></saml:NameID>",
        ),
        in_name(
            "a line end by reference in the NameID",
            ("identity", "NameID"),
            "&#97;da@acme.example</saml:NameID>",
            "ada@acme.example&#10;.evil</saml:NameID>",
        ),
        in_name(
            "a carriage return by reference in the NameID",
            ("identity", "NameID"),
            "ada&#64;acme.example</saml:NameID>",
            "ada@acme.example&#13;x</saml:NameID>",
        ),
        Case::altered(
            "a reference to NUL",
            MALFORMED,
            "ada@acme.example</saml:NameID>",
            "ada@acme.example</saml:NameID>",
            "ada@acme.example&#0;</saml:NameID>",
        ),
        Case::altered(
            "a reference to a surrogate",
            MALFORMED,
            "ada@acme.example</saml:NameID>",
            "ada@acme.example</saml:NameID>",
            "ada@acme.example&#xD83D;&#xDE00;</saml:NameID>",
        ),
        Case::altered(
            "an entity of HTML",
            MALFORMED,
            "ada@acme.example</saml:NameID>",
            "ada&#64;acme.example</saml:NameID>",
            "ada&commat;acme.example</saml:NameID>",
        ),
        Case::altered(
            "an entity without its end",
            MALFORMED,
            "ada@acme.example</saml:NameID>",
            "ada@acme.example</saml:NameID>",
            "ada&#64acme.example</saml:NameID>",
        ),
        Case::altered(
            "the end of CDATA in plain text",
            MALFORMED,
            "ada@acme.example</saml:NameID>",
            "ada@acme.example</saml:NameID>",
            "ada@acme.example]]></saml:NameID>",
        ),
        Case::altered(
            "CDATA outside the root element",
            MALFORMED,
            "</samlp:Response>",
            "</samlp:Response>",
            "</samlp:Response><![CDATA[]]>",
        ),
        Case::altered(
            "CDATA between elements",
            ("structure", "text may not stand"),
            "<samlp:Status>",
            "<![CDATA[ ]]><samlp:Status>",
            "<![CDATA[x]]><samlp:Status>",
        ),
    ]
}

fn documents() -> Vec<Case> {
    const DOCTYPE: (&str, &str) = ("scan", "a document type definition");
    let before = |name: &str, doctype: &'static str| {
        Case::altered(name, DOCTYPE, "<samlp:Response", "<?xml version=\"1.0\"?><samlp:Response", doctype)
    };
    let declaration = |name: &str, refused, hostile| {
        Case::altered(
            name,
            refused,
            "<samlp:Response",
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><samlp:Response",
            hostile,
        )
    };
    vec![
        before("an empty document type", "<!DOCTYPE samlp:Response><samlp:Response"),
        before("an entity that names a file", "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><samlp:Response"),
        before("an entity that names an address", "<!DOCTYPE r [<!ENTITY x SYSTEM \"http://169.254.169.254/latest/\">]><samlp:Response"),
        before("a parameter entity", "<!DOCTYPE r [<!ENTITY % x SYSTEM \"http://internal.example/x.dtd\"> %x;]><samlp:Response"),
        before("an external subset", "<!DOCTYPE r PUBLIC \"-//X//Y//EN\" \"http://internal.example/x.dtd\"><samlp:Response"),
        before(
            "a billion laughs",
            "<!DOCTYPE r [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">]><samlp:Response",
        ),
        before("an attribute default that makes an ID", "<!DOCTYPE r [<!ATTLIST saml:Attribute Name ID #REQUIRED>]><samlp:Response"),
        Case::altered(
            "a document type inside the Response",
            ("scan", ""),
            "<samlp:Status>",
            "<samlp:Status>",
            "<!DOCTYPE r><samlp:Status>",
        ),
        declaration("XML 1.1", ("scan", "the version of XML"), "<?xml version=\"1.1\"?><samlp:Response"),
        declaration("UTF-16 declared", ("scan", "the encoding"), "<?xml version=\"1.0\" encoding=\"UTF-16\"?><samlp:Response"),
        declaration("UTF-7 declared", ("scan", "the encoding"), "<?xml version=\"1.0\" encoding=\"UTF-7\"?><samlp:Response"),
        declaration("EBCDIC declared", ("scan", "the encoding"), "<?xml version=\"1.0\" encoding=\"IBM037\"?><samlp:Response"),
        declaration("an empty encoding", ("scan", "the encoding"), "<?xml version=\"1.0\" encoding=\"\"?><samlp:Response"),
        declaration("two declarations", ("scan", "not well-formed"), "<?xml version=\"1.0\"?><?xml version=\"1.0\"?><samlp:Response"),
        declaration("a declaration behind white space", ("scan", "not well-formed"), " <?xml version=\"1.0\"?><samlp:Response"),
        declaration(
            "a declaration with an attribute of its own",
            ("scan", "not well-formed"),
            "<?xml version=\"1.0\" x=\"y\"?><samlp:Response",
        ),
        Case::altered(
            "text behind the Response",
            ("scan", "not well-formed"),
            "</samlp:Response>",
            "</samlp:Response> \r\n",
            "</samlp:Response>x",
        ),
        Case::altered(
            "a second root element",
            ("scan", "not well-formed"),
            "</samlp:Response>",
            "</samlp:Response>",
            "</samlp:Response><x/>",
        ),
        Case::xml("a second Response behind the genuine one", ("scan", "not well-formed"), |scene, kind| {
            let genuine = craft::issue(&scene.message, rolegate::saml::issuer::Sign::Both);
            kind.pick(genuine.clone(), format!("{genuine}{genuine}"))
        }),
    ]
}

/// Digest smuggling: the verifier and the reader take different digests out of one element.
fn digests() -> Vec<Case> {
    let smuggled = |name: &str, refused, make: fn(&str, &str) -> String| {
        Case::xml(name, refused, move |scene, kind| {
            let genuine = craft::sign(&scene.message.assertion(), &scene.message.assertion_id);
            let forged = craft::sign(&scene.message.assertion().replace("ada@", "eve@"), &scene.message.assertion_id);
            let digest = |xml: &str| craft::element(xml, "ds:DigestValue").to_owned();
            let altered = forged.replace(craft::element(&forged, "ds:SignatureValue"), craft::element(&genuine, "ds:SignatureValue"));
            let altered = altered.replace(&digest(&forged), &make(&digest(&genuine), &digest(&forged)));
            scene.message.response(&kind.pick(genuine.clone(), altered))
        })
    };
    vec![
        smuggled("the forged digest behind a comment", ("scan", "a comment"), |genuine, forged| {
            genuine.replace("</ds:DigestValue>", &format!("<!--{}--></ds:DigestValue>", text_of(forged)))
        }),
        smuggled("the genuine digest in a comment", ("scan", "a comment"), |genuine, forged| {
            forged.replace("<ds:DigestValue>", &format!("<ds:DigestValue><!--{}-->", text_of(genuine)))
        }),
        smuggled("two digests", ("structure", "DigestValue stands more often"), |genuine, forged| format!("{genuine}{forged}")),
        smuggled("one digest behind the other in one element", ("signature", ""), |genuine, forged| {
            format!("<ds:DigestValue>{}{}</ds:DigestValue>", text_of(genuine), text_of(forged))
        }),
        smuggled("one digest in CDATA behind the other", ("signature", ""), |genuine, forged| {
            format!("<ds:DigestValue>{}<![CDATA[{}]]></ds:DigestValue>", text_of(genuine), text_of(forged))
        }),
        smuggled("markup in the digest", ("structure", "may not stand in DigestValue"), |genuine, forged| {
            format!("<ds:DigestValue><x>{}</x>{}</ds:DigestValue>", text_of(genuine), text_of(forged))
        }),
        smuggled("an empty digest", ("signature", ""), |_, _| "<ds:DigestValue></ds:DigestValue>".to_owned()),
        smuggled("the first bytes of the forged digest", ("signature", ""), |_, forged| {
            format!("<ds:DigestValue>{}</ds:DigestValue>", &text_of(forged)[..4])
        }),
        smuggled("the forged digest, not signed for", ("signature", ""), |_, forged| forged.to_owned()),
        smuggled("the genuine digest over the forged text", ("signature", ""), |genuine, _| genuine.to_owned()),
    ]
}

fn text_of(digest: &str) -> &str {
    digest.trim_start_matches("<ds:DigestValue>").trim_end_matches("</ds:DigestValue>")
}

//! What the table of elements does not name, in the signed assertion and around it; encrypted parts that are not taken; IDs.

use super::Case;

const fn structure(says: &'static str) -> (&'static str, &'static str) {
    ("structure", says)
}

pub fn cases() -> Vec<Case> {
    [of_the_envelope(), of_the_assertion(), of_values(), of_names()].into_iter().flatten().collect()
}

fn of_the_envelope() -> Vec<Case> {
    const STATUS: &str = "<samlp:Status>";
    let before = |name: &str, refused, hostile| Case::altered(name, refused, STATUS, STATUS, hostile);
    let attribute = |name: &str, refused, hostile| {
        Case::altered(
            name,
            refused,
            " Version=\"2.0\"",
            " Consent=\"urn:oasis:names:tc:SAML:2.0:consent:obtained\" Version=\"2.0\"",
            hostile,
        )
    };
    vec![
        before("empty Extensions", structure("Extensions"), "<samlp:Extensions/><samlp:Status>"),
        before("an element of nobody's", structure("may not stand in Response"), "<x/><samlp:Status>"),
        before("a second Issuer", structure("Issuer stands more often"), "<saml:Issuer>x</saml:Issuer><samlp:Status>"),
        before(
            "a second Status that reports success",
            structure("Status stands more often"),
            "<samlp:Status><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status><samlp:Status>",
        ),
        before("text in the Response", structure("text may not stand"), "x<samlp:Status>"),
        before("an encrypted assertion that is empty", structure("EncryptedData is missing"), "<saml:EncryptedAssertion/><samlp:Status>"),
        before("an Artifact", structure("Artifact"), "<samlp:Artifact>x</samlp:Artifact><samlp:Status>"),
        attribute("an attribute of nobody's", structure("attribute Other"), " Other=\"x\" Version=\"2.0\""),
        attribute("xml:base", structure("attribute base"), " xml:base=\"http://evil.example/\" Version=\"2.0\""),
        attribute(
            "another type by xsi:type",
            structure("xsi:type"),
            " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"samlp:StatusResponseType\" Version=\"2.0\"",
        ),
        attribute(
            "a schema to be fetched",
            structure("schemaLocation"),
            " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"urn:x http://internal.example/x.xsd\" Version=\"2.0\"",
        ),
        attribute("a second ID by another name", structure("attribute id"), " id=\"_x\" Version=\"2.0\""),
        attribute("a second ID by the name of SAML 1.1", structure("attribute ResponseID"), " ResponseID=\"_x\" Version=\"2.0\""),
        Case::altered(
            "the Response of SAML 1.1",
            structure("the root element"),
            "urn:oasis:names:tc:SAML:2.0:protocol",
            "urn:oasis:names:tc:SAML:2.0:protocol",
            "urn:oasis:names:tc:SAML:1.0:protocol",
        ),
        Case::altered(
            "markup in the Issuer",
            structure("may not stand in Issuer"),
            "<saml:Issuer>",
            "<saml:Issuer NameQualifier=\"x\">",
            "<saml:Issuer><b/>",
        ),
        Case::altered(
            "the Issuer is a persistent name",
            structure("Format of the Issuer"),
            "<saml:Issuer>",
            "<saml:Issuer Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:entity\">",
            "<saml:Issuer Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\">",
        ),
        Case::signed(
            "the Issuer of the assertion has an empty Format",
            structure("Format of the Issuer"),
            "<saml:Issuer>",
            "<saml:Issuer Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:entity\">",
            "<saml:Issuer Format=\"\">",
        ),
    ]
}

fn of_the_assertion() -> Vec<Case> {
    let before = |name: &str, refused, at: &'static str, hostile| Case::signed(name, refused, at, at, hostile);
    const CONDITIONS: &str = "<saml:AudienceRestriction>";
    vec![
        before("Advice", structure("Advice"), "<saml:Subject>", "<saml:Advice/><saml:Subject>"),
        before(
            "an AuthzDecisionStatement",
            structure("AuthzDecisionStatement"),
            "<saml:AuthnStatement ",
            "<saml:AuthzDecisionStatement Resource=\"x\" Decision=\"Permit\"/><saml:AuthnStatement ",
        ),
        before("a Statement of another type", structure("Statement"), "<saml:AuthnStatement ", "<saml:Statement/><saml:AuthnStatement "),
        before("a BaseID beside the NameID", structure("BaseID"), "<saml:SubjectConfirmation ", "<saml:BaseID/><saml:SubjectConfirmation "),
        before(
            "two NameIDs",
            structure("NameID stands more often"),
            "<saml:NameID ",
            "<saml:NameID>eve@acme.example</saml:NameID><saml:NameID ",
        ),
        before("two Conditions", structure("Conditions stands more often"), "<saml:Conditions ", "<saml:Conditions/><saml:Conditions "),
        before(
            "an encrypted NameID",
            ("decryption", "the NameID is encrypted"),
            "<saml:SubjectConfirmation ",
            "<saml:EncryptedID/><saml:SubjectConfirmation ",
        ),
        before(
            "an encrypted NameID instead of the plain one",
            ("decryption", "the NameID is encrypted"),
            "<saml:Subject>",
            "<saml:Subject><saml:EncryptedID/>",
        ),
        before(
            "an encrypted attribute",
            ("decryption", "an attribute is encrypted"),
            "<saml:AttributeStatement>",
            "<saml:AttributeStatement><saml:EncryptedAttribute/>",
        ),
        before(
            "a Condition that nobody knows",
            structure("Condition may not stand"),
            CONDITIONS,
            "<saml:Condition/><saml:AudienceRestriction>",
        ),
        before(
            "a Condition of another type",
            structure("may not stand"),
            CONDITIONS,
            "<saml:Condition xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:d=\"urn:oasis:names:tc:SAML:2.0:conditions:delegation\" xsi:type=\"d:DelegationRestrictionType\"/><saml:AudienceRestriction>",
        ),
        before(
            "two OneTimeUse",
            structure("OneTimeUse stands more often"),
            CONDITIONS,
            "<saml:OneTimeUse/><saml:OneTimeUse/><saml:AudienceRestriction>",
        ),
        before(
            "two ProxyRestrictions",
            structure("ProxyRestriction stands more often"),
            CONDITIONS,
            "<saml:ProxyRestriction Count=\"1\"/><saml:ProxyRestriction Count=\"2\"/><saml:AudienceRestriction>",
        ),
        before(
            "KeyInfo in the confirmation",
            structure("may not stand in SubjectConfirmationData"),
            "<saml:SubjectConfirmationData ",
            "<saml:SubjectConfirmationData><ds:KeyInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"/></saml:SubjectConfirmationData></saml:SubjectConfirmation><saml:SubjectConfirmation Method=\"x\"><saml:SubjectConfirmationData ",
        ),
        before("no method of confirmation", structure("Method is missing"), " Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"", ""),
        before(
            "an attribute without a name",
            structure("Name is missing"),
            "<saml:AttributeStatement>",
            "<saml:AttributeStatement><saml:Attribute/>",
        ),
        before(
            "another type of attribute",
            structure("xsi:type"),
            "<saml:Attribute ",
            "<saml:Attribute xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"x\" ",
        ),
        Case::xml("no issue instant", structure("IssueInstant is missing"), |scene, kind| {
            let instant = format!(" IssueInstant=\"{}\"", scene.message.issue_instant);
            let assertion = super::craft::replaced(&scene.message.assertion(), &instant, kind.pick(&instant, ""));
            scene.message.response(&super::craft::sign(&assertion, &scene.message.assertion_id))
        }),
    ]
}

fn of_values() -> Vec<Case> {
    let value = |name: &str, refused, hostile| Case::signed(name, refused, ">platform-admins<", ">platform-admins<", hostile);
    vec![
        value("an Assertion in a value", structure("Assertion may not stand inside a value"), "><saml:Assertion/><"),
        value(
            "a Response in a value",
            structure("Response may not stand inside a value"),
            "><samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\"/><",
        ),
        value(
            "a Signature in a value",
            structure("Signature may not stand inside a value"),
            "><ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"/><",
        ),
        value(
            "a Signature deep in a value",
            structure("Signature may not stand inside a value"),
            "><a><b><ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"/></b></a><",
        ),
        value(
            "encrypted data in a value",
            structure("EncryptedData may not stand inside a value"),
            "><xenc:EncryptedData xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\"/><",
        ),
        value("an ID in a value", structure("attribute ID"), "><x ID=\"_y\"/><"),
        value("an id of another case in a value", structure("attribute iD"), "><x iD=\"_y\"/><"),
        value("an xml:id in a value", structure("attribute id"), "><x xml:id=\"_y\"/><"),
        value("an AssertionID in a value", structure("attribute AssertionID"), "><x AssertionID=\"_y\"/><"),
        value("markup in a mapped value", ("identity", "markup"), "><b>platform-admins</b><"),
        value("markup behind a mapped value", ("identity", "markup"), ">platform-admins<b/><"),
        value("a NameID in a mapped value", ("identity", "markup"), "><saml:NameID>platform-admins</saml:NameID><"),
        Case::signed(
            "a type of value's own inside it",
            structure("may not stand inside a value"),
            ">platform-admins<",
            ">platform-admins<",
            "><x xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"x\"/><",
        ),
    ]
}

fn of_names() -> Vec<Case> {
    const SCAN: (&str, &str) = ("scan", "");
    let version =
        |name: &str, refused, hostile| Case::altered(name, refused, " Version=\"2.0\"", " xmlns:a=\"urn:a\" Version=\"2.0\"", hostile);
    vec![
        version("a relative namespace", ("scan", "not an absolute URI"), " xmlns:a=\"relative\" Version=\"2.0\""),
        version(
            "a namespace spelled with a reference",
            ("scan", "not an absolute URI"),
            " xmlns:a=\"urn:oasis:names:tc:SAML&#58;2.0:assertion\" Version=\"2.0\"",
        ),
        version("a prefix undeclared", ("scan", "not an absolute URI"), " xmlns:a=\"\" Version=\"2.0\""),
        version("xml bound to something else", SCAN, " xmlns:xml=\"urn:x\" Version=\"2.0\""),
        version("xmlns declared", SCAN, " xmlns:xmlns=\"urn:x\" Version=\"2.0\""),
        version("another prefix for xml", SCAN, " xmlns:a=\"http://www.w3.org/XML/1998/namespace\" Version=\"2.0\""),
        version("a prefix declared twice", ("scan", "stands twice"), " xmlns:a=\"urn:a\" xmlns:a=\"urn:b\" Version=\"2.0\""),
        version("an attribute twice", ("scan", "stands twice"), " Version=\"2.0\" Version=\"1.1\""),
        version("an attribute that is not ASCII", SCAN, " V\u{e9}rsion=\"2.0\" Version=\"2.0\""),
        version("an attribute without quotes", SCAN, " Version=2.0"),
        Case::altered("a prefix that nobody declared", ("scan", "is not declared"), "<samlp:Status>", "<samlp:Status>", "<other:Status>"),
        Case::altered("an element that is not ASCII", SCAN, "<samlp:Status>", "<samlp:Status>", "<samlp:St\u{430}tus>"),
        Case::altered("an end tag of another case", ("scan", "end tag"), "</samlp:Status>", "</samlp:Status >", "</samlp:status>"),
        Case::altered(
            "an ID that begins with a digit",
            ("scan", "is not an identifier"),
            "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_",
            "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"a",
            "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"1",
        ),
        Case::altered("an ID that is an XPointer", ("scan", "is not an identifier"), "ID=\"_", "ID=\"a", "ID=\"element(/1/2)"),
        Case::xml("an ID on KeyInfo that is the assertion's", ("scan", "stands twice"), |scene, kind| {
            let id = kind.pick("_key".to_owned(), scene.message.assertion_id.clone());
            super::craft::replaced(
                &super::craft::issue(&scene.message, rolegate::saml::issuer::Sign::Assertion),
                "<ds:KeyInfo>",
                &format!("<ds:KeyInfo Id=\"{id}\">"),
            )
        }),
        Case::xml("the Response and the assertion with one ID", ("scan", "stands twice"), |scene, kind| {
            let mut message = scene.message.clone();
            message.response_id = kind.pick(message.response_id.clone(), message.assertion_id.clone());
            super::craft::issue(&message, rolegate::saml::issuer::Sign::Assertion)
        }),
    ]
}

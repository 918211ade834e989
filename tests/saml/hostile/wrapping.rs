//! The signed part is moved aside and a forged one stands where it is read: the eight classic forms (XSW 1 to 8) and their relatives;
//! and signatures that are taken away or put where they say nothing.

use rolegate::saml::issuer::{Message, Sign};

use super::{
    Case, Scene,
    craft::{self, Parts, replaced, signature},
};

const STRUCTURE: (&str, &str) = ("structure", "");
const SIGNATURE: (&str, &str) = ("signature", "");

fn object(inside: &str) -> String {
    format!("<ds:Object>{inside}</ds:Object>")
}

/// A forgery made of the parts; the control is the genuine response.
fn of_assertion(name: &str, refused: (&'static str, &'static str), make: fn(&Parts) -> String) -> Case {
    Case::xml(name, refused, move |scene: &Scene, kind| {
        let parts = Parts::of(&scene.message);
        kind.pick::<fn(&Parts) -> String>(|parts| parts.response(&parts.signed), make)(&parts)
    })
}

/// A Response that is signed as a whole, its signature, and itself without it.
struct Whole {
    message: Message,
    signed: String,
    signature: String,
    bare: String,
    /// A Response for Eve with an ID of its own.
    forged: String,
}

impl Whole {
    fn of(message: &Message) -> Self {
        let signed = craft::issue(message, Sign::Response);
        let signature = signature(&signed).to_owned();
        let forged = message.response(&message.assertion().replace("ada@", "eve@")).replace(&message.response_id, "_forged-response");
        let forged = forged.replace(&message.assertion_id, "_forged");
        Self { bare: signed.replace(&signature, ""), signature, signed, forged, message: message.clone() }
    }

    fn forged_with(&self, inside: &str) -> String {
        replaced(&self.forged, "</saml:Issuer>", &format!("</saml:Issuer>{inside}"))
    }

    fn signature_with(&self, inside: &str) -> String {
        replaced(&self.signature, "</ds:KeyInfo>", &format!("</ds:KeyInfo>{inside}"))
    }
}

fn of_response(name: &str, refused: (&'static str, &'static str), make: fn(&Whole) -> String) -> Case {
    Case::xml(name, refused, move |scene: &Scene, kind| {
        kind.pick::<fn(&Whole) -> String>(|whole| whole.signed.clone(), make)(&Whole::of(&scene.message))
    })
}

fn extensions(response: &str, inside: &str) -> String {
    replaced(response, "<samlp:Status>", &format!("<samlp:Extensions>{inside}</samlp:Extensions><samlp:Status>"))
}

fn detail(response: &str, inside: &str) -> String {
    replaced(response, "</samlp:Status>", &format!("<samlp:StatusDetail>{inside}</samlp:StatusDetail></samlp:Status>"))
}

pub fn cases() -> Vec<Case> {
    [classic(), around_the_assertion(), around_the_response(), stripped()].into_iter().flatten().collect()
}

/// Somorovsky et al., "On Breaking SAML: Be Whoever You Want to Be", section 4.
fn classic() -> Vec<Case> {
    vec![
        of_response("XSW 1: a forged Response holds the signature, which holds the genuine Response", STRUCTURE, |w| {
            w.forged_with(&w.signature_with(&object(&w.bare)))
        }),
        of_response("XSW 2: a forged Response, the genuine one beside the signature in it", STRUCTURE, |w| {
            w.forged_with(&format!("{}{}", w.signature, w.bare))
        }),
        of_assertion("XSW 3: the forged assertion before the genuine one", ("structure", "Assertion stands more often"), |p| {
            p.response(&format!("{}{}", p.forged, p.signed))
        }),
        of_assertion("XSW 4: the genuine assertion inside the forged one", ("structure", "Assertion may not stand in Assertion"), |p| {
            p.response(&p.forged_with(&p.signed))
        }),
        of_assertion("XSW 5: the signature in the forged assertion, the genuine one behind it", STRUCTURE, |p| {
            p.response(&format!("{}{}", p.forged_with(&p.signature), p.bare))
        }),
        of_assertion("XSW 6: the signature in the forged assertion, the genuine one in the signature", STRUCTURE, |p| {
            p.response(&p.forged_with(&p.signature_with(&object(&p.bare))))
        }),
        of_assertion("XSW 7: the forged assertion in Extensions", ("structure", "Extensions may not stand in Response"), |p| {
            extensions(&p.response(&p.signed), &p.forged)
        }),
        of_assertion("XSW 8: the genuine assertion in the Object of the forged one's signature", STRUCTURE, |p| {
            p.response(&p.forged_with(&p.signature_with(&object(&p.signed))))
        }),
    ]
}

fn around_the_assertion() -> Vec<Case> {
    vec![
        of_assertion("the forged assertion behind the genuine one", STRUCTURE, |p| p.response(&format!("{}{}", p.signed, p.forged))),
        of_assertion("the forged one in the Object of the genuine signature", STRUCTURE, |p| {
            p.response(&p.signed.replace(&p.signature, &p.signature_with(&object(&p.forged))))
        }),
        of_assertion("the genuine one in Extensions, the forged one in its place", STRUCTURE, |p| {
            extensions(&p.response(&p.forged), &p.signed)
        }),
        of_assertion("the same with the signature in the forged one", STRUCTURE, |p| {
            extensions(&p.response(&p.forged_with(&p.signature)), &p.bare)
        }),
        of_assertion("the genuine one in StatusDetail", STRUCTURE, |p| detail(&p.response(&p.forged), &p.signed)),
        of_assertion("the genuine one in StatusDetail, its signature in the forged one", STRUCTURE, |p| {
            detail(&p.response(&p.forged_with(&p.signature)), &p.bare)
        }),
        of_assertion("the genuine one in Advice of the forged one", ("structure", "Advice"), |p| {
            p.response(&replaced(
                &p.forged,
                "<saml:AuthnStatement ",
                &format!("<saml:Advice>{}</saml:Advice><saml:AuthnStatement ", p.signed),
            ))
        }),
        of_assertion("the genuine one in a value of the forged one", STRUCTURE, |p| {
            p.response(&p.forged.replacen("platform-admins", &p.signed, 1))
        }),
        of_assertion("the genuine one in the subject confirmation of the forged one", STRUCTURE, |p| {
            p.response(&p.forged.replacen("<saml:SubjectConfirmationData", &format!("{}<saml:SubjectConfirmationData", p.signed), 1))
        }),
        of_assertion("the genuine one in KeyInfo of the forged one", STRUCTURE, |p| {
            p.response(&p.forged_with(&p.signature.replacen("<ds:X509Certificate>", &format!("{}<ds:X509Certificate>", p.bare), 1)))
        }),
        of_assertion("the genuine one in SignatureProperties", STRUCTURE, |p| {
            p.response(&p.forged_with(&p.signature_with(&object(&format!(
                "<ds:SignatureProperties><ds:SignatureProperty Target=\"#x\">{}</ds:SignatureProperty></ds:SignatureProperties>",
                p.bare
            )))))
        }),
        of_assertion("the genuine one in a Manifest", STRUCTURE, |p| {
            p.response(&p.forged_with(&p.signature_with(&object(&format!("<ds:Manifest>{}</ds:Manifest>", p.bare)))))
        }),
        of_assertion("the genuine one in a foreign element beside the forged one", STRUCTURE, |p| {
            p.response(&format!("<x xmlns=\"urn:x\">{}</x>{}", p.signed, p.forged))
        }),
        of_assertion("the forged one with the genuine one's ID, before it", STRUCTURE, |p| {
            p.response(&format!("{}{}", p.forged.replace("_forged", &p.id), p.signed))
        }),
        of_assertion("the forged one in the genuine one's place with its ID and signature", SIGNATURE, |p| {
            p.response(&p.forged_with(&p.signature).replace("_forged", &p.id))
        }),
        of_assertion("the genuine ID as Id on the bare one, as ID on the forged one", STRUCTURE, |p| {
            p.response(&format!("{}{}", p.forged_with(&p.signature).replace("_forged", &p.id), p.bare.replace(" ID=", " Id=")))
        }),
        of_assertion("the genuine ID as xml:id on the bare one", STRUCTURE, |p| {
            p.response(&format!("{}{}", p.forged_with(&p.signature).replace("_forged", &p.id), p.bare.replace(" ID=", " xml:id=")))
        }),
        of_assertion("the genuine one under another prefix beside the forged one", STRUCTURE, |p| {
            p.response(&format!(
                "{}{}",
                p.forged,
                p.signed.replace("<saml:", "<s2:").replace("</saml:", "</s2:").replace("xmlns:saml=", "xmlns:s2=")
            ))
        }),
        of_assertion("the forged one in another namespace of the same name", STRUCTURE, |p| {
            p.response(&format!("{}{}", p.forged.replace("SAML:2.0:assertion", "SAML:1.0:assertion"), p.signed))
        }),
        of_assertion("two signatures on the genuine one", ("structure", "Signature stands more often"), |p| {
            p.response(&p.signed.replace(&p.signature, &p.signature.repeat(2)))
        }),
        of_assertion("the signature of the assertion as a child of the Response", ("structure", "refers to something else"), |p| {
            replaced(&p.response(&p.bare), "<samlp:Status>", &format!("{}<samlp:Status>", p.signature))
        }),
        of_assertion("the same, the forged one in the assertion's place, the genuine one in a value", STRUCTURE, |p| {
            replaced(
                &p.response(&p.forged.replacen("platform-admins", &p.bare, 1)),
                "<samlp:Status>",
                &format!("{}<samlp:Status>", p.signature),
            )
        }),
        of_assertion("a reference to the whole document", ("structure", "refers to something else"), |p| {
            p.response(&p.forged_with(&p.signature.replace(&format!("#{}", p.id), "")))
        }),
        of_assertion("a statement of the forged one behind the genuine ones", SIGNATURE, |p| {
            p.response(&replaced(&p.signed, "</saml:Assertion>", "<saml:AttributeStatement><saml:Attribute Name=\"groups\"><saml:AttributeValue>platform-admins</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion>"))
        }),
        of_assertion("a second subject before the genuine one", ("structure", "Subject stands more often"), |p| {
            p.response(&replaced(
                &p.signed,
                "<saml:Subject>",
                "<saml:Subject><saml:NameID>eve@acme.example</saml:NameID></saml:Subject><saml:Subject>",
            ))
        }),
        of_assertion("a whole Response inside the Response", STRUCTURE, |p| p.response(&p.response(&p.signed))),
    ]
}

fn around_the_response() -> Vec<Case> {
    vec![
        of_response("the genuine Response inside the forged one", STRUCTURE, |w| w.forged_with(&w.signed)),
        of_response("the genuine Response in StatusDetail of the forged one", STRUCTURE, |w| detail(&w.forged_with(&w.signature), &w.bare)),
        of_response("the genuine Response in Extensions of the forged one", STRUCTURE, |w| {
            extensions(&w.forged_with(&w.signature), &w.bare)
        }),
        of_response("the genuine Response in a value of the forged one", STRUCTURE, |w| {
            w.forged_with(&w.signature).replacen("platform-admins", &w.bare, 1)
        }),
        of_response("the signature of the Response on the forged one", ("structure", "refers to something else"), |w| {
            w.forged_with(&w.signature)
        }),
        of_response("the same with the genuine ID", SIGNATURE, |w| {
            w.forged_with(&w.signature).replace("_forged-response", &w.message.response_id)
        }),
        of_response("a second assertion in the signed Response", ("structure", "Assertion stands more often"), |w| {
            let forged = w.message.assertion().replace("ada@", "eve@").replace(&w.message.assertion_id, "_forged");
            replaced(&w.signed, "</samlp:Response>", &format!("{forged}</samlp:Response>"))
        }),
        of_response("the forged assertion instead of the genuine one in the signed Response", SIGNATURE, |w| {
            w.signed.replace("ada@", "eve@")
        }),
        of_response("the signature moved from the Response into its assertion", ("structure", "refers to something else"), |w| {
            let at = w.bare.rfind("</saml:Issuer>").unwrap() + "</saml:Issuer>".len();
            format!("{}{}{}", &w.bare[..at], w.signature, &w.bare[at..])
        }),
        of_response("the signed Response as a whole in an Envelope of SOAP", ("structure", "the root element"), |w| {
            format!("<S:Envelope xmlns:S=\"http://schemas.xmlsoap.org/soap/envelope/\"><S:Body>{}</S:Body></S:Envelope>", w.signed)
        }),
    ]
}

fn stripped() -> Vec<Case> {
    vec![
        of_assertion("the signature is taken away", ("signature", "neither the Response nor the Assertion is signed"), |p| {
            p.response(&p.bare)
        }),
        of_assertion("the signature is taken away and the subject changed", ("signature", "neither"), |p| p.response(&p.forged)),
        of_response("the signature of the Response is taken away", ("signature", "neither"), |w| w.bare.clone()),
        of_response("the signature is in another namespace", STRUCTURE, |w| {
            w.signed.replace("http://www.w3.org/2000/09/xmldsig#\"><ds:SignedInfo", "http://www.w3.org/2000/09/xmldsig\"><ds:SignedInfo")
        }),
        of_assertion("an empty signature", ("structure", "SignedInfo is missing"), |p| {
            p.response(&p.signed.replace(&p.signature, "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"/>"))
        }),
        of_assertion("an empty signature value", SIGNATURE, |p| {
            let value = craft::element(&p.signed, "ds:SignatureValue").to_owned();
            p.response(&p.signed.replace(&value, "<ds:SignatureValue></ds:SignatureValue>"))
        }),
        of_assertion("no signature value", ("structure", "SignatureValue is missing"), |p| {
            let value = craft::element(&p.signed, "ds:SignatureValue").to_owned();
            p.response(&p.signed.replace(&value, ""))
        }),
        of_assertion("the signature value of another message", SIGNATURE, |p| {
            let mut other = p.message.clone();
            other.assertion_id.push('x');
            let other = craft::sign(&other.assertion(), &other.assertion_id);
            let value = craft::element(&other, "ds:SignatureValue");
            p.response(&p.signed.replace(craft::element(&p.signed, "ds:SignatureValue"), value))
        }),
        Case::xml("both signatures are taken from a message that had both", ("signature", "neither"), |scene, kind| {
            let both = craft::issue(&scene.message, Sign::Both);
            let outer = signature(&both).to_owned();
            let without = both.replace(&outer, "");
            let inner = signature(&without).to_owned();
            kind.pick(both.clone(), without.replace(&inner, ""))
        }),
        Case::xml("a bare assertion instead of a Response", ("structure", "the root element"), |scene, kind| {
            let signed = craft::sign(&scene.message.assertion(), &scene.message.assertion_id);
            kind.pick(scene.message.response(&signed), signed.clone())
        }),
    ]
}

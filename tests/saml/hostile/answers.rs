//! Which request a response answers, and that it counts once.

use rolegate::saml::issuer::{Message, Sign};

use super::{Case, STRICT, Scene, Sent, craft};
use crate::common::{idp::message, installation::PUBLIC_URL};

const fn answer(says: &'static str) -> (&'static str, &'static str) {
    ("in_response_to", says)
}

fn hers(scene: &Scene, message: &mut Message) {
    message.in_response_to = Some(scene.requests.hers.clone());
}

fn answers(name: &str, says: &'static str, hostile: fn(&Scene, &mut Message)) -> Case {
    Case::message(name, answer(says), hers, hostile)
}

type Made = fn(&Scene) -> String;

pub fn cases() -> Vec<Case> {
    of_requests().into_iter().map(Case::begun).collect()
}

fn of_requests() -> Vec<Case> {
    let data = |scene: &Scene, make: Made| {
        let mut message = scene.message.clone();
        hers(scene, &mut message);
        let assertion = message.assertion();
        let altered = craft::replaced(&assertion, &format!(" InResponseTo=\"{}\"", scene.requests.hers), &make(scene));
        message.response(&craft::sign(&altered, &message.assertion_id))
    };
    vec![
        answers("a request of nobody's", "did not begin", |_, m| m.in_response_to = Some("_00000000000000000000000000000000".to_owned())),
        answers("a request of another browser", "did not begin", |s, m| m.in_response_to = Some(s.requests.his.clone())),
        answers("a request of another connection", "unknown", |s, m| m.in_response_to = Some(s.requests.elsewhere.clone())),
        answers("a request that has its answer", "unknown", |s, m| m.in_response_to = Some(s.requests.answered.clone())),
        answers("an empty request", "did not begin", |_, m| m.in_response_to = Some(String::new())),
        answers("the request in capitals", "did not begin", |s, m| m.in_response_to = Some(s.requests.hers.to_uppercase())),
        answers("the request with something behind it", "did not begin", |s, m| m.in_response_to = Some(format!("{}x", s.requests.hers))),
        answers("the name of another cookie", "did not begin", |s, m| {
            m.in_response_to = Some(format!("{}=x; {}", s.requests.his, s.requests.hers))
        }),
        Case::new("the right request without the browser's cookies", answer("did not begin"), |scene, kind| {
            let mut message = scene.message.clone();
            hers(scene, &mut message);
            Sent { cookies: kind.pick(true, false), ..Sent::xml(&craft::issue(&message, Sign::Both)) }
        }),
        Case::xml("the Response and the assertion answer different requests", answer("two InResponseTo differ"), move |scene, kind| {
            data(
                scene,
                kind.pick::<Made>(
                    |s| format!(" InResponseTo=\"{}\"", s.requests.hers),
                    |s| format!(" InResponseTo=\"{}\"", s.requests.elsewhere),
                ),
            )
        }),
        Case::xml("only the unsigned Response answers", answer("only on the unsigned Response"), move |scene, kind| {
            data(scene, kind.pick::<Made>(|s| format!(" InResponseTo=\"{}\"", s.requests.hers), |_| String::new()))
        }),
        Case::xml("the unsigned Response says another one", answer("two InResponseTo differ"), |scene, kind| {
            let mut message = scene.message.clone();
            hers(scene, &mut message);
            let signed = craft::issue(&message, Sign::Assertion);
            let other = kind.pick(&scene.requests.hers, &scene.requests.his);
            craft::replaced(&signed, &format!("InResponseTo=\"{}\"", scene.requests.hers), &format!("InResponseTo=\"{other}\""))
        }),
        Case::xml("two confirmations answer different requests", answer("two InResponseTo differ"), |scene, kind| {
            let mut message = scene.message.clone();
            hers(scene, &mut message);
            let other = kind.pick(&scene.requests.hers, &scene.requests.elsewhere);
            let second = format!(
                "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:sender-vouches\"><saml:SubjectConfirmationData InResponseTo=\"{other}\"/></saml:SubjectConfirmation></saml:Subject>"
            );
            let assertion = craft::replaced(&message.assertion(), "</saml:Subject>", &second);
            message.response(&craft::sign(&assertion, &message.assertion_id))
        }),
        Case::new("no request where the identity provider may not begin", answer("idp_initiated = false"), |scene, kind| {
            let mut there = message(STRICT, "ada@acme.example", scene.now);
            there.in_response_to = kind.pick(Some(scene.requests.elsewhere.clone()), None);
            Sent::xml(&craft::issue(&there, Sign::Both)).to(STRICT)
        }),
        Case::new("the answer to one connection's request at another", ("conditions", "Destination"), |scene, kind| {
            let mut there = message(STRICT, "ada@acme.example", scene.now);
            there.in_response_to = Some(scene.requests.elsewhere.clone());
            if kind == super::Kind::Hostile {
                there.destination = Some(format!("{PUBLIC_URL}/connections/acme-okta/saml/acs"));
            }
            Sent::xml(&craft::issue(&there, Sign::Both)).to(STRICT)
        }),
    ]
}

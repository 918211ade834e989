//! The Redirect binding: percent-encoding, base64, DEFLATE and the message in it. Nothing is accepted that the
//! trusted key did not sign.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::DeflateEncoder};
use rolegate::saml::{
    issuer::ReceivedRequest,
    logout::{LogoutParty, Sent, read_request, read_response},
};

use super::sides::{IDP, LOGOUT, PINNED, now};

/// The first byte says how the rest is meant: as a query, as deflated bytes, or as what is deflated.
pub fn run(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    if how % 3 == 0 {
        return refused(&String::from_utf8_lossy(rest));
    }
    let value = STANDARD.encode(if how % 3 == 1 { rest.to_vec() } else { deflated(rest) });
    let escaped = value.replace('+', "%2B").replace('=', "%3D");
    for name in ["SAMLRequest", "SAMLResponse"] {
        refused(&format!("{name}={escaped}&SigAlg=http%3A%2F%2Fwww.w3.org%2F2001%2F04%2Fxmldsig-more%23rsa-sha256&Signature=eA%3D%3D"));
    }
    let _ = ReceivedRequest::parse(&value);
}

fn refused(query: &str) {
    let party = LogoutParty { logout_url: LOGOUT, idp_entity_id: IDP, certificates: &*PINNED, skew_secs: 60, expired_certificate_days: 14 };
    assert!(read_request(Sent::Redirect(query), &party, now()).is_err());
    assert!(read_response(Sent::Redirect(query), &party, now()).is_err());
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

//! The core Group of RFC 7643 §4.2.

use super::{
    Definition,
    build::{complex, reference, text},
};

pub const URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

#[must_use]
pub fn definition() -> Definition {
    // RFC 7643 §4.2: sub-attributes of members are immutable; members come and go as wholes.
    let members = vec![
        text("value").exact().immutable().says("The member's id."),
        reference("$ref", &["User", "Group"]).immutable().says("The member's address."),
        text("type").one_of(&["User", "Group"]).immutable().says("What the member is."),
        text("display").immutable().says("The member's name, as the client sent it."),
    ];
    Definition {
        urn: URN.to_owned(),
        name: "Group".to_owned(),
        description: "Group".to_owned(),
        attributes: vec![
            text("displayName").required().says("The group's name to show."),
            complex("members", members).many().says("Who is in the group."),
        ],
    }
}

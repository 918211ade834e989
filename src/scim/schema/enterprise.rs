//! The enterprise extension of User (RFC 7643 §4.3).

use super::{
    Definition,
    build::{complex, reference, text},
};

pub const URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

#[must_use]
pub fn definition() -> Definition {
    let manager = vec![
        text("value").exact().says("The manager's id."),
        reference("$ref", &["User"]).says("The manager's address."),
        text("displayName").read_only().says("The manager's name."),
    ];
    Definition {
        urn: URN.to_owned(),
        name: "EnterpriseUser".to_owned(),
        description: "Enterprise User".to_owned(),
        attributes: vec![
            text("employeeNumber").says("The number given by the organization."),
            text("costCenter").says("The cost center."),
            text("organization").says("The organization's name."),
            text("division").says("The division."),
            text("department").says("The department."),
            complex("manager", manager).says("The person's manager."),
        ],
    }
}

//! The core User of RFC 7643 §4.1 and §8.7.1.

use super::{
    Definition, Returned,
    build::{binary, boolean, complex, reference, text, values},
};

pub const URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

#[must_use]
pub fn definition() -> Definition {
    let name = vec![
        text("formatted").says("The full name, ready to show."),
        text("familyName").says("The family name."),
        text("givenName").says("The given name."),
        text("middleName").says("The middle names."),
        text("honorificPrefix").says("A title before the name."),
        text("honorificSuffix").says("A suffix after the name."),
    ];
    let address = vec![
        text("formatted").says("The full address, ready to show."),
        text("streetAddress").says("Street, house number, post office box."),
        text("locality").says("The city."),
        text("region").says("The state or region."),
        text("postalCode").says("The postal code."),
        text("country").says("The country, by ISO 3166-1 alpha-2."),
        text("type").one_of(&["work", "home", "other"]).says("What the address is used for."),
        boolean("primary").says("The preferred one; at most one address has true."),
    ];
    let groups = vec![
        text("value").exact().says("The group's id."),
        reference("$ref", &["User", "Group"]).says("The group's address."),
        text("display").says("The group's name."),
        text("type").one_of(&["direct", "indirect"]).says("Member itself, or through another group."),
    ];
    Definition {
        urn: URN.to_owned(),
        name: "User".to_owned(),
        description: "User Account".to_owned(),
        attributes: vec![
            text("userName").required().unique().says("What the person is known by, unique here; compared without case."),
            complex("name", name).says("The parts of the person's name."),
            text("displayName").says("The name to show."),
            text("nickName").says("The casual name."),
            reference("profileUrl", &["external"]).says("A page about the person."),
            text("title").says("The title in the organization, such as Vice President."),
            text("userType").says("The relation to the organization, such as Employee or Contractor."),
            text("preferredLanguage").says("The preferred languages, as in Accept-Language."),
            text("locale").says("The locale for dates, numbers and currency, such as en-US."),
            text("timezone").says("The time zone by its IANA name, such as Europe/Berlin."),
            boolean("active").says("Whether the person may sign in."),
            text("password").write_only().returned(Returned::Never).says("Taken and ignored: nobody signs in here with it."),
            values("emails", text("value"), &["work", "home", "other"]).says("E-mail addresses."),
            values("phoneNumbers", text("value"), &["work", "home", "mobile", "fax", "pager", "other"]).says("Telephone numbers."),
            values("ims", text("value"), &["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"])
                .says("Instant messaging addresses."),
            values("photos", reference("value", &["external"]), &["photo", "thumbnail"]).says("Addresses of photos."),
            complex("addresses", address).many().says("Postal addresses."),
            complex("groups", groups).many().read_only().says("The groups the person is in; changed through the groups."),
            values("entitlements", text("value"), &[]).says("Entitlements that the identity provider states."),
            values("roles", text("value"), &[]).says("Roles that the identity provider states."),
            values("x509Certificates", binary("value"), &[]).says("X.509 certificates."),
        ],
    }
}

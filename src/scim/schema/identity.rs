//! The shape of the documents that mapping rules look at: core and enterprise names beside each other, groups by what the
//! identity provider calls them, the tenant's own attributes under `custom`, and how the facts came.

use std::sync::LazyLock;

use super::{
    Attribute, Definition, Schema,
    build::{complex, text},
    enterprise, user,
};
use crate::scim::path::AttrPath;

/// A sub-attribute nobody declared: text of any kind, compared without case.
pub(super) static ANYTHING: LazyLock<Attribute> = LazyLock::new(|| text("*"));

static IDENTITY: LazyLock<Schema> = LazyLock::new(|| {
    let mut attributes: Vec<Attribute> =
        user::definition().attributes.into_iter().filter(|a| a.name != "groups" && a.name != "password").collect();
    attributes.extend(enterprise::definition().attributes);
    attributes.extend([
        complex("groups", vec![text("value").exact(), text("display")]).many(),
        Attribute { open: true, ..complex("custom", Vec::new()) },
        complex("source", vec![text("kind"), text("connection")]),
        complex("authn", vec![text("context")]),
    ]);
    let core = Definition {
        urn: "urn:rolegate:schemas:Identity".to_owned(),
        name: "Identity".to_owned(),
        description: "What rules see of a person".to_owned(),
        attributes,
    };
    Schema::new(core, Vec::new()).flattened(&[user::URN, enterprise::URN])
});

/// The schema of identity documents.
#[must_use]
pub fn identity() -> &'static Schema {
    &IDENTITY
}

/// Whether a path names something that an identity can have. What `/Schemas` calls common is of resources, not of people.
#[must_use]
pub fn knows(path: &AttrPath) -> bool {
    let of_resources = ["id", "meta", "schemas"].iter().any(|name| name.eq_ignore_ascii_case(&path.name));
    !of_resources && IDENTITY.lookup(path).is_some()
}

/// What there is, `custom` left out: `userName`, `name`, `name.givenName` and so on.
pub fn names() -> impl Iterator<Item = String> {
    let subs = |attribute: &'static Attribute| attribute.attributes.iter().map(|sub| format!("{}.{}", attribute.name, sub.name));
    let listed = IDENTITY.core.attributes.iter().filter(|attribute| !attribute.open);
    let names = listed.flat_map(move |attribute| std::iter::once(attribute.name.clone()).chain(subs(attribute)));
    names.chain(["externalId".to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_every_fact_flat() {
        for text in [
            "department",
            "manager.value",
            "emails.value",
            "groups.display",
            "custom.tenant_code",
            "source.kind",
            "authn.context",
            "externalId",
        ] {
            assert!(identity().lookup(&AttrPath::parse(text).unwrap()).is_some(), "{text}");
        }
        let exact = |text: &str| identity().lookup(&AttrPath::parse(text).unwrap()).unwrap().sub.unwrap().case_exact;
        assert!(exact("groups.value"));
        assert!(!exact("groups.display"));
        assert!(!exact("custom.anything"));
    }

    #[test]
    fn what_no_person_has_is_not_known() {
        for text in ["gruops", "email", "groups.name", "userName.value", "password", "id", "meta.created", "urn:x:y:department"] {
            assert!(!knows(&AttrPath::parse(text).unwrap()), "{text}");
        }
        assert!(names().all(|name| knows(&AttrPath::parse(&name).unwrap())));
    }

    #[test]
    fn qualified_names_mean_the_same_facts() {
        let text = format!("{}:department", enterprise::URN);
        assert_eq!(identity().lookup(&AttrPath::parse(&text).unwrap()).unwrap().attribute.unwrap().name, "department");
    }
}

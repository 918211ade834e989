//! The tree that the scan builds: elements with resolved names, values unescaped. It knows no grammar and no signatures.

use std::borrow::Cow;

/// A namespace that SAML messages speak of; every other one is `Other` and is never looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ns {
    /// In no namespace.
    None,
    Protocol,
    Assertion,
    Metadata,
    Signature,
    Signature11,
    ExcC14n,
    Encryption,
    Encryption11,
    SchemaInstance,
    Xml,
    Other,
}

impl Ns {
    pub(super) fn of(uri: &str) -> Self {
        match uri {
            "urn:oasis:names:tc:SAML:2.0:protocol" => Self::Protocol,
            "urn:oasis:names:tc:SAML:2.0:assertion" => Self::Assertion,
            "urn:oasis:names:tc:SAML:2.0:metadata" => Self::Metadata,
            "http://www.w3.org/2000/09/xmldsig#" => Self::Signature,
            "http://www.w3.org/2009/xmldsig11#" => Self::Signature11,
            "http://www.w3.org/2001/10/xml-exc-c14n#" => Self::ExcC14n,
            "http://www.w3.org/2001/04/xmlenc#" => Self::Encryption,
            "http://www.w3.org/2009/xmlenc11#" => Self::Encryption11,
            "http://www.w3.org/2001/XMLSchema-instance" => Self::SchemaInstance,
            "http://www.w3.org/XML/1998/namespace" => Self::Xml,
            _ => Self::Other,
        }
    }
}

/// A local name: of the grammar's table, or as the message wrote it.
pub(super) type Local = Cow<'static, str>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute {
    pub ns: Ns,
    pub name: Local,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub ns: Ns,
    pub name: Local,
    pub attributes: Vec<Attribute>,
    pub children: Vec<Element>,
    /// Character data directly inside, joined.
    pub text: String,
    /// Prefixes with their namespaces as they are in scope here; kept for EncryptedAssertion alone, whose content was taken out of them.
    /// The default namespace has an empty prefix.
    pub scope: Vec<(String, String)>,
}

impl Element {
    pub(super) fn is(&self, ns: Ns, name: &str) -> bool {
        self.ns == ns && self.name == name
    }

    /// The value of an attribute in no namespace.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|a| a.ns == Ns::None && a.name == name).map(|a| a.value.as_str())
    }

    pub(super) fn attribute_ns(&self, ns: Ns, name: &str) -> Option<&str> {
        self.attributes.iter().find(|a| a.ns == ns && a.name == name).map(|a| a.value.as_str())
    }

    pub(super) fn children<'a>(&'a self, ns: Ns, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.is(ns, name))
    }

    /// The first child of that name; the grammar says where there is at most one.
    pub(super) fn child(&self, ns: Ns, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.is(ns, name))
    }
}

//! One bounded pass over a document before anything else reads it: XML 1.0 in UTF-8, well-formed, namespaces resolved, no DTD, no processing
//! instruction, no comment. The grammar (`structure`) is asked at every tag of the same pass. Stricter than XML where parsers
//! differ (names are ASCII, no references in namespace names), so that libxml2, which repairs what it cannot read, sees what was judged here.

use std::collections::HashSet;

use quick_xml::{
    NsReader,
    events::{BytesStart, Event},
    name::{NamespaceError, PrefixDeclaration, QName, ResolveResult},
};

use super::{
    element::{Attribute, Element, Local, Ns},
    lexical::{attribute_value, attributes, entity, is_ncname, is_xml_char},
    refusal::{Refusal, Step},
    structure::{self, Content, Root, Rule},
    work::{self, Work},
};

/// Which documents are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grammar {
    /// Responses and assertions: what the table does not name is refused.
    Closed(Root),
    /// Metadata: any vocabulary, and comments are skipped; nothing read in this way is ever given to libxml2.
    Open,
}

/// Real messages: depth 10, 12 attributes, 453 nodes.
const DEPTH: usize = 32;
const ATTRIBUTES: usize = 24;
const ELEMENTS: usize = 10_000;
/// Declarations in scope at one place.
const NAMESPACES: usize = 64;

/// How elements below an open one are judged.
#[derive(Clone, Copy)]
enum Inside {
    Rule(&'static Rule),
    Foreign(Content),
    Open,
}

struct Scan<'a> {
    reader: NsReader<&'a [u8]>,
    grammar: Grammar,
    open: Vec<(Element, Inside)>,
    root: Option<Element>,
    elements: usize,
    nodes: usize,
    ids: HashSet<String>,
}

/// Reads a document into a tree.
///
/// # Errors
/// When it breaks a bound, is not well-formed, or is not of the grammar.
pub(super) fn read(text: &str, grammar: Grammar) -> Result<Element, Refusal> {
    if text.starts_with('\u{feff}') {
        return Err(refuse("bom", "the document begins with a byte order mark"));
    }
    work::add(Work { bytes: text.len(), ..Work::default() });
    // NUL is among what XML leaves out.
    if let Some((at, c)) = text.char_indices().find(|(_, c)| !is_xml_char(*c)) {
        return Err(refuse("character", format!("character U+{:04X} at byte {at} is not allowed in XML", u32::from(c))));
    }
    let mut reader = NsReader::from_str(text);
    reader.resolver_mut().set_max_namespace_bindings(NAMESPACES);
    let mut scan = Scan { reader, grammar, open: Vec::new(), root: None, elements: 0, nodes: 0, ids: HashSet::new() };
    let outcome = scan.run();
    let passed = usize::try_from(scan.reader.buffer_position()).unwrap_or(usize::MAX);
    work::add(Work { bytes: passed, nodes: scan.nodes, ..Work::default() });
    outcome
}

fn refuse(code: &'static str, what: impl Into<String>) -> Refusal {
    Refusal::new(Step::Scan, code, what)
}

impl Scan<'_> {
    fn run(&mut self) -> Result<Element, Refusal> {
        loop {
            self.nodes += 1;
            let at = self.reader.buffer_position();
            let event = self.reader.read_event().map_err(|error| self.unreadable(&error))?;
            match event {
                Event::Start(start) => self.start(&start)?,
                Event::Empty(start) => {
                    self.start(&start)?;
                    self.end()?;
                }
                Event::End(_) => self.end()?,
                Event::Text(text) => {
                    if text.contains("]]>") {
                        return Err(self.malformed("`]]>` in text"));
                    }
                    self.text(&text.xml10_content())?;
                }
                Event::CData(text) if !self.open.is_empty() => self.text(&text.xml10_content())?,
                Event::CData(_) => return Err(self.malformed("CDATA outside the root element")),
                Event::GeneralRef(reference) => {
                    let value = entity(&reference).ok_or_else(|| self.malformed("an entity that is not one of XML's own"))?;
                    if self.open.is_empty() {
                        return Err(self.malformed("a reference outside the root element"));
                    }
                    self.text(value.encode_utf8(&mut [0; 4]))?;
                }
                Event::Decl(declaration) => self.declaration(&declaration, at)?,
                Event::Comment(_) if self.grammar == Grammar::Open => {}
                Event::Comment(_) => return Err(refuse("comment", format!("a comment stands at byte {at}"))),
                Event::PI(_) => return Err(refuse("processing_instruction", format!("a processing instruction stands at byte {at}"))),
                Event::DocType(_) => return Err(refuse("doctype", format!("a document type definition stands at byte {at}"))),
                Event::Eof => break,
            }
        }
        if !self.open.is_empty() {
            return Err(self.malformed("the document ends inside an element"));
        }
        self.root.take().ok_or_else(|| refuse("malformed", "the document has no element"))
    }

    fn malformed(&self, why: &str) -> Refusal {
        refuse("malformed", format!("not well-formed XML near byte {}: {why}", self.reader.buffer_position()))
    }

    /// In words of our own: those of the XML reader quote the document.
    fn unreadable(&self, error: &quick_xml::Error) -> Refusal {
        use quick_xml::errors::{Error, IllFormedError};
        match error {
            Error::Namespace(NamespaceError::TooManyBindings(_)) => {
                refuse("too_many_namespaces", format!("more than {NAMESPACES} namespace declarations are in scope at one place"))
            }
            Error::Namespace(_) => self.malformed("a reserved namespace is declared"),
            Error::IllFormed(IllFormedError::MismatchedEndTag { .. } | IllFormedError::UnmatchedEndTag(_)) => {
                self.malformed("an end tag that does not match its start tag")
            }
            Error::IllFormed(IllFormedError::UnclosedReference) => self.malformed("a reference that is not closed"),
            Error::Syntax(_) => self.malformed("markup that is not closed"),
            _ => self.malformed("unreadable markup"),
        }
    }

    fn declaration(&self, declaration: &str, at: u64) -> Result<(), Refusal> {
        let parts =
            declaration.strip_prefix("xml").map(attributes).and_then(Result::ok).ok_or_else(|| self.malformed("the XML declaration"))?;
        if at != 0 {
            return Err(self.malformed("an XML declaration that is not at the beginning"));
        }
        let names: Vec<_> = parts.iter().map(|(name, _)| *name).collect();
        if !matches!(names[..], ["version"] | ["version", "encoding" | "standalone"] | ["version", "encoding", "standalone"]) {
            return Err(self.malformed("the XML declaration"));
        }
        for (name, value) in parts {
            match name {
                "version" if value != "1.0" => return Err(refuse("xml_version", "the version of XML").got(value).expected("1.0")),
                "encoding" if !value.eq_ignore_ascii_case("utf-8") => {
                    return Err(refuse("xml_encoding", "the encoding of the document").got(value).expected("UTF-8"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Refusal> {
        match self.open.last_mut() {
            Some((element, _)) => element.text.push_str(text),
            None if text.bytes().all(|b| b.is_ascii_whitespace()) => {}
            None => return Err(self.malformed("text outside the root element")),
        }
        Ok(())
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), Refusal> {
        self.elements += 1;
        if self.elements > ELEMENTS {
            return Err(refuse("too_many_elements", format!("the document has more than {ELEMENTS} elements")));
        }
        if self.open.len() >= DEPTH {
            return Err(refuse("too_deep", format!("elements are nested deeper than {DEPTH}")));
        }
        let (ns, name) = self.resolve(start.name(), true)?;
        let inside = self.judge(ns, name)?;
        let name = if let Inside::Rule(rule) = inside { Local::Borrowed(rule.name) } else { Local::Owned(name.to_owned()) };

        let raw = attributes(start.attributes_raw()).map_err(|why| self.malformed(why))?;
        self.nodes += raw.len();
        if raw.len() > ATTRIBUTES {
            return Err(refuse("too_many_attributes", format!("{name:.64} has more than {ATTRIBUTES} attributes")));
        }
        let mut element =
            Element { ns, name, attributes: Vec::new(), children: Vec::new(), text: String::new(), scope: self.scope(ns, inside) };
        let mut seen: Vec<&str> = Vec::with_capacity(raw.len());
        for (qualified, value) in raw {
            if seen.contains(&qualified) {
                return Err(self.malformed("an attribute stands twice"));
            }
            seen.push(qualified);
            match QName(qualified).as_namespace_binding() {
                Some(_) => self.declared(qualified, value)?,
                None => self.attribute(&mut element, inside, qualified, value)?,
            }
        }
        self.open.push((element, inside));
        Ok(())
    }

    /// The declarations in scope at an EncryptedAssertion.
    fn scope(&self, ns: Ns, inside: Inside) -> Vec<(String, String)> {
        match inside {
            Inside::Rule(rule) if ns == Ns::Assertion && rule.name == "EncryptedAssertion" => {
                let bindings = self.reader.resolver().bindings();
                let prefix = |prefix| match prefix {
                    PrefixDeclaration::Default => String::new(),
                    PrefixDeclaration::Named(name) => name.to_owned(),
                };
                bindings.map(|(declared, uri)| (prefix(declared), uri.0.to_owned())).collect()
            }
            Inside::Rule(_) | Inside::Foreign(_) | Inside::Open => Vec::new(),
        }
    }

    /// How the element itself is judged, by where it stands.
    fn judge(&self, ns: Ns, name: &str) -> Result<Inside, Refusal> {
        let below = |content| {
            structure::foreign_element(content, ns, name)?;
            Ok(Inside::Foreign(content))
        };
        match (self.open.last(), self.grammar) {
            (None, _) if self.root.is_some() => Err(self.malformed("a second root element")),
            (_, Grammar::Open) | (Some((_, Inside::Open)), _) => Ok(Inside::Open),
            (None, Grammar::Closed(root)) => {
                let rule = root.rule();
                if ns == rule.ns && name == rule.name {
                    Ok(Inside::Rule(rule))
                } else {
                    Err(Refusal::new(Step::Structure, "root", "the root element").got(name).expected(rule.name))
                }
            }
            (Some((parent, Inside::Rule(rule))), _) => match rule.content {
                Content::Elements => rule.child(ns, name, &parent.children).map(Inside::Rule),
                Content::Text => Err(Refusal::new(Step::Structure, "markup", format!("element {name:.64} may not stand in {}", rule.name))),
                content @ (Content::Foreign | Content::KeyData) => below(content),
            },
            (Some((_, Inside::Foreign(content))), _) => below(*content),
        }
    }

    /// A namespace declaration: an absolute name, spelled without references so that every parser reads the same one.
    fn declared(&self, qualified: &str, uri: &str) -> Result<(), Refusal> {
        let refused = || Err(refuse("namespace", format!("the namespace declared by {qualified:.64} is not an absolute URI")));
        // XML Namespaces 1.0, section 6.2: only the default namespace can be undeclared.
        if uri.is_empty() && qualified == "xmlns" {
            return Ok(());
        }
        let Some((scheme, rest)) = uri.split_once(':') else { return refused() };
        let sound = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            && !rest.is_empty()
            // Of RFC 3986 without percent-encoding and literals of IPv6, on which libxml2 has views of its own.
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/?#@!$'()*+,;=".contains(&b));
        if !sound {
            return refused();
        }
        if matches!(qualified, "xmlns:xml" | "xmlns:xmlns") || Ns::of(uri) == Ns::Xml || uri == "http://www.w3.org/2000/xmlns/" {
            return Err(self.malformed("a reserved namespace is declared"));
        }
        Ok(())
    }

    fn attribute(&mut self, element: &mut Element, inside: Inside, qualified: &str, raw: &str) -> Result<(), Refusal> {
        let (ns, name) = self.resolve(QName(qualified), false)?;
        if ns != Ns::Other && element.attributes.iter().any(|a| a.ns == ns && a.name == name) {
            return Err(self.malformed("an attribute stands twice"));
        }
        let refused =
            || Refusal::new(Step::Structure, "unexpected_attribute", format!("attribute {name:.64} may not stand inside a value"));
        let known = match inside {
            Inside::Rule(rule) => rule.attribute(ns, name)?,
            Inside::Foreign(_) if !structure::foreign_attribute(ns, name) || (ns == Ns::SchemaInstance && name == "type") => {
                return Err(refused());
            }
            Inside::Foreign(_) | Inside::Open => None,
        };
        let value = attribute_value(raw).ok_or_else(|| self.malformed("a reference in an attribute value"))?;
        if let Inside::Rule(_) = inside
            && ns == Ns::None
            && matches!(name, "ID" | "Id")
        {
            self.id(name, &value)?;
        }
        element.attributes.push(Attribute { ns, name: known.map_or_else(|| Local::Owned(name.to_owned()), Local::Borrowed), value });
        Ok(())
    }

    fn id(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let characters = (1..=256).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b));
        // libxml2 takes IDs as NCName, as xs:ID is defined; `Id` is never looked up.
        let begins = name != "ID" || (value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !value.contains(':'));
        if !characters || !begins {
            return Err(refuse("id", format!("{name} {value:.64?} is not an identifier"))
                .expected("a letter or underscore, then up to 255 letters, digits, underscores, dots and hyphens"));
        }
        if !self.ids.insert(value.to_owned()) {
            return Err(refuse("duplicate_id", format!("{name} {value:.64?} stands twice in the document")));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Refusal> {
        // quick-xml matches end tags to start tags before it reports them.
        let Some((element, inside)) = self.open.pop() else { return Err(self.malformed("an end tag without its start")) };
        if let Inside::Rule(rule) = inside {
            rule.complete(&element)?;
        }
        match self.open.last_mut() {
            Some((parent, _)) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn resolve<'n>(&self, name: QName<'n>, is_element: bool) -> Result<(Ns, &'n str), Refusal> {
        let refused = || self.malformed("a name that is not of ASCII letters, digits, `_`, `-`, `.` and one inner `:`");
        let (prefix, local) = match name.0.split_once(':') {
            Some((prefix, local)) => (Some(prefix), local),
            None => (None, name.0),
        };
        if !prefix.is_none_or(is_ncname) || !is_ncname(local) {
            return Err(refused());
        }
        let (resolved, _) = self.reader.resolver().resolve(name, is_element);
        match resolved {
            ResolveResult::Unbound => Ok((Ns::None, local)),
            ResolveResult::Bound(namespace) => Ok((Ns::of(namespace.0), local)),
            ResolveResult::Unknown(prefix) => Err(refuse("prefix", format!("the prefix {prefix:.64} is not declared"))),
        }
    }
}

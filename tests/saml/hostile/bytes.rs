//! What arrives instead of base64 of UTF-8.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE},
};
use rolegate::saml::issuer::Sign;

use super::{Case, Kind, Sent, craft};

const fn encoding(says: &'static str) -> (&'static str, &'static str) {
    ("encoding", says)
}

fn value(name: &str, refused: (&'static str, &'static str), control: fn(&str) -> String, hostile: fn(&str) -> String) -> Case {
    Case::new(name, refused, move |scene, kind| Sent::value(&kind.pick(control, hostile)(&craft::issue(&scene.message, Sign::Both))))
}

/// Of the XML as bytes.
fn of_bytes(name: &str, refused: (&'static str, &'static str), hostile: fn(&str) -> Vec<u8>) -> Case {
    Case::new(name, refused, move |scene, kind| {
        let xml = craft::issue(&scene.message, Sign::Both);
        Sent::value(&STANDARD.encode(match kind {
            Kind::Control => xml.into_bytes(),
            Kind::Hostile => hostile(&xml),
        }))
    })
}

fn plain(xml: &str) -> String {
    STANDARD.encode(xml)
}

fn wrapped(xml: &str) -> String {
    plain(xml).as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\r\n")
}

fn utf16(xml: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    xml.encode_utf16().flat_map(bytes).collect()
}

pub fn cases() -> Vec<Case> {
    const BASE64: (&str, &str) = encoding("not base64");
    const UTF8: (&str, &str) = encoding("not UTF-8");
    vec![
        value("XML without base64", BASE64, plain, str::to_owned),
        value("a character of another alphabet", BASE64, wrapped, |xml| format!("{}!", plain(xml))),
        value("the alphabet of addresses", BASE64, plain, |xml| format!("{}-_", &URL_SAFE.encode(xml)[..8])),
        value("no padding", BASE64, plain, |xml| STANDARD_NO_PAD.encode(format!("{xml}{}", " ".repeat(1 + (3 - xml.len() % 3) % 3)))),
        value("padding in the middle", BASE64, plain, |xml| format!("QQ=={}", plain(xml))),
        value("bits behind the end", BASE64, plain, |_| "QR==".to_owned()),
        value("tabs between the lines", BASE64, wrapped, |xml| wrapped(xml).replace("\r\n", "\t")),
        value("cut off", BASE64, plain, |xml| plain(xml)[..101].to_owned()),
        value("a line of PEM around it", BASE64, wrapped, |xml| format!("-----BEGIN-----\n{}", wrapped(xml))),
        value("base64 of base64", ("scan", ""), plain, |xml| STANDARD.encode(plain(xml))),
        value("deflated, as in an address", UTF8, plain, |xml| {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
            std::io::Write::write_all(&mut encoder, xml.as_bytes()).unwrap();
            STANDARD.encode(encoder.finish().unwrap())
        }),
        value("nothing", ("scan", "no element"), plain, |_| String::new()),
        of_bytes("UTF-16 with its mark", UTF8, |xml| [vec![0xff, 0xfe], utf16(xml, u16::to_le_bytes)].concat()),
        of_bytes("UTF-16 without a mark", ("scan", "U+0000"), |xml| utf16(xml, u16::to_be_bytes)),
        of_bytes("UTF-32", ("scan", "U+0000"), |xml| xml.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect()),
        of_bytes("UTF-7", ("scan", ""), |xml| xml.replace('<', "+ADw-").into_bytes()),
        of_bytes("EBCDIC", UTF8, |_| vec![0x4c, 0x6f, 0xa7, 0x94, 0x93]),
        of_bytes("a byte order mark of UTF-8", ("scan", "byte order mark"), |xml| format!("\u{feff}{xml}").into_bytes()),
        of_bytes("NUL inside", ("scan", "U+0000"), |xml| xml.replacen("ada@", "ada\0@", 1).into_bytes()),
        of_bytes("NUL behind the end", ("scan", "U+0000"), |xml| format!("{xml}\0").into_bytes()),
        of_bytes("a control character", ("scan", "U+0008"), |xml| xml.replacen("ada@", "ada\u{8}@", 1).into_bytes()),
        of_bytes("a character that is none", ("scan", "U+FFFF"), |xml| xml.replacen("ada@", "ada\u{ffff}@", 1).into_bytes()),
        of_bytes("a byte of Latin-1", UTF8, |xml| [xml.as_bytes(), b"\xe9"].concat()),
        of_bytes("an overlong less-than sign", UTF8, |xml| [b"\xc0\xbc", &xml.as_bytes()[1..]].concat()),
        of_bytes("half of a surrogate", UTF8, |xml| [xml.as_bytes(), b"\xed\xa0\x80"].concat()),
        of_bytes("gzip", UTF8, |xml| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            std::io::Write::write_all(&mut encoder, xml.as_bytes()).unwrap();
            encoder.finish().unwrap()
        }),
    ]
}

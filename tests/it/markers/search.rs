//! Looks for values in whatever form they may stand somewhere.

use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// What is looked for: a core that survives every escaping, and around it what is escaped.
pub struct Marker {
    pub name: &'static str,
    pub core: String,
}

impl Marker {
    pub fn new(name: &'static str) -> Self {
        let random = std::process::id();
        let core: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        Self {
            name,
            core: format!("qz7{core}{random:08}x0k"),
        }
    }

    /// As it is given.
    pub fn text(&self) -> String {
        format!("ä\"{}/ +%ü", self.core)
    }

    /// Without what a protocol of words and lines cannot carry.
    pub fn word(&self) -> String {
        format!("{}-{}", self.core, self.core.to_uppercase())
    }
}

/// The forms in which a text may stand somewhere. JSON, URL and `Debug` leave letters and digits
/// alone, so that the core itself stands for these.
pub fn forms(core: &str) -> Vec<(&'static str, Vec<u8>)> {
    use std::fmt::Write as _;
    let bytes = core.as_bytes();
    let mut hex = String::new();
    for byte in bytes {
        write!(hex, "{byte:02x}").unwrap();
    }
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let mut forms = vec![
        ("plain", bytes.to_vec()),
        ("HEX", hex.to_uppercase().into_bytes()),
        ("hex", hex.into_bytes()),
        ("numbers", numbers.join(", ").into_bytes()),
        ("packed numbers", numbers.join(",").into_bytes()),
    ];
    // Wherever in a longer value it stands, and whatever stands around it.
    for shift in 0..3 {
        let padded = [&vec![0; shift], bytes].concat();
        let first = (shift * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for (name, digits) in [("base64", *b"+/"), ("base64url", *b"-_")] {
            forms.push((name, base64(&padded, digits)[first..last].to_vec()));
        }
    }
    forms
}

fn base64(bytes: &[u8], last: [u8; 2]) -> Vec<u8> {
    let digits: Vec<u8> = (b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .chain(b'0'..=b'9')
        .chain(last)
        .collect();
    let mut out = Vec::new();
    for chunk in bytes.chunks(3) {
        let mut bits = [0; 3];
        bits[..chunk.len()].copy_from_slice(chunk);
        let all = u32::from_be_bytes([0, bits[0], bits[1], bits[2]]);
        for digit in 0..=chunk.len() {
            out.push(digits[(all >> (18 - 6 * digit)) as usize & 63]);
        }
    }
    out
}

/// What was found: (where, what, in which form).
#[derive(Default)]
pub struct Search {
    pub cores: BTreeMap<String, String>,
    pub found: Vec<(String, String, &'static str)>,
    pub bytes: usize,
}

/// (whose, in which form, the bytes)
type Needle<'a> = (&'a str, &'static str, Vec<u8>);

impl Search {
    pub fn add(&mut self, name: &str, core: &str) {
        assert!(core.len() >= 12, "{name}");
        self.cores.insert(name.to_owned(), core.to_owned());
    }

    /// In one pass, whatever the number of forms.
    pub fn look(&mut self, place: &str, bytes: &[u8]) {
        self.bytes += bytes.len();
        let mut needles: HashMap<[u8; 4], Vec<Needle<'_>>> = HashMap::new();
        let mut begins = [false; 256];
        for (name, core) in &self.cores {
            for (form, needle) in forms(core) {
                let start = <[u8; 4]>::try_from(&needle[..4]).unwrap();
                begins[usize::from(start[0])] = true;
                needles.entry(start).or_default().push((name, form, needle));
            }
        }
        let mut found = BTreeSet::new();
        for (at, byte) in bytes.iter().enumerate() {
            if !begins[usize::from(*byte)] {
                continue;
            }
            let Some(start) = bytes[at..].first_chunk::<4>() else {
                break;
            };
            for (name, form, needle) in needles.get(start).into_iter().flatten() {
                if bytes[at..].starts_with(needle) {
                    found.insert(((*name).to_owned(), *form));
                }
            }
        }
        let place = |(name, form)| (place.to_owned(), name, form);
        self.found.extend(found.into_iter().map(place));
    }

    /// All files below, but those that are there to hold a key.
    pub fn look_below(&mut self, directory: &Path, except: &[&str]) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if except.contains(&name) {
                continue;
            }
            if path.is_dir() {
                self.look_below(&path, except);
            } else {
                self.look(&path.display().to_string(), &std::fs::read(&path).unwrap());
            }
        }
    }
}

#[test]
fn the_search_finds_every_form() {
    let marker = Marker::new("credential");
    let text = marker.text();
    let json = serde_json::to_string(&json!({"a": text})).unwrap();
    let in_json = format!("{:?}", json);
    let mut url = url::form_urlencoded::Serializer::new(String::new());
    url.append_pair("a", &text);
    let url = url.finish();
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let numbers = format!("{:?}", text.as_bytes());
    let packed = serde_json::to_string(text.as_bytes()).unwrap();
    for place in [
        text.clone(),
        json,
        in_json,
        url,
        hex.to_uppercase(),
        hex,
        numbers,
        packed,
    ] {
        assert!(finds(&marker, place.as_bytes()), "{place}");
    }
    for shift in 0..4 {
        let value = format!("{}{text} and more", "y".repeat(shift));
        for last in [*b"+/", *b"-_"] {
            let encoded = base64(value.as_bytes(), last);
            assert!(finds(&marker, &encoded), "{value}");
        }
    }
    assert!(!finds(&marker, b"qz7credential and other things"));
}

fn finds(marker: &Marker, bytes: &[u8]) -> bool {
    let mut search = Search::default();
    search.add(marker.name, &marker.core);
    search.look("here", bytes);
    !search.found.is_empty()
}

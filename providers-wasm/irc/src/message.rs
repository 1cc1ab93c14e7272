//! Lines of the IRC protocol (RFC 1459, RFC 2812, IRCv3 message tags): bytes in, parts out,
//! and back. Owns the grammar only; it must never know what a command means.

use std::collections::BTreeMap;

/// One parsed line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// Unescaped; a tag without a value has the empty value, as the specification says.
    pub tags: BTreeMap<String, String>,
    pub source: Option<Source>,
    /// In upper case, or three digits.
    pub command: String,
    pub params: Vec<String>,
}

/// Who a line comes from: a person (`nick!user@host`) or a server (its name alone).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    pub name: String,
    pub user: Option<String>,
    pub host: Option<String>,
}

/// Why a line could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl Line {
    /// The parameter at `index`, or the empty string.
    pub fn param(&self, index: usize) -> &str {
        self.params.get(index).map_or("", String::as_str)
    }

    /// The last parameter, or the empty string.
    pub fn last(&self) -> &str {
        self.params.last().map_or("", String::as_str)
    }

    /// The last parameter as a server's words for people: one line, at most 200 characters.
    pub fn said(&self) -> String {
        self.last()
            .chars()
            .filter(|character| !character.is_control())
            .take(200)
            .collect()
    }

    /// A tag that is there and not empty.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The nick (or server name) it comes from, or the empty string.
    pub fn from(&self) -> &str {
        self.source
            .as_ref()
            .map_or("", |source| source.name.as_str())
    }

    /// The number of a numeric reply.
    pub fn numeric(&self) -> Option<u16> {
        if self.command.len() == 3 {
            self.command.parse().ok()
        } else {
            None
        }
    }
}

/// UTF-8, or else Latin-1: what old clients send is still shown.
pub fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// Reads one line, without its line ending.
pub fn parse(bytes: &[u8]) -> Result<Line, Malformed> {
    let text = decode(bytes);
    let mut rest = text.trim_end_matches(['\r', '\n']).trim_start_matches(' ');
    if rest.contains(['\0', '\n', '\r']) {
        return Err(Malformed("a control character that no line may contain"));
    }
    let mut line = Line::default();
    if let Some(tagged) = rest.strip_prefix('@') {
        let (tags, after) = word(tagged);
        line.tags = parse_tags(tags);
        rest = after;
    }
    if let Some(sourced) = rest.strip_prefix(':') {
        let (source, after) = word(sourced);
        line.source = Some(parse_source(source));
        rest = after;
    }
    let (command, mut rest) = word(rest);
    if command.is_empty() {
        return Err(Malformed("no command"));
    }
    if !command.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Malformed("a command of letters and digits was expected"));
    }
    line.command = command.to_ascii_uppercase();
    while !rest.is_empty() {
        if let Some(trailing) = rest.strip_prefix(':') {
            line.params.push(trailing.to_owned());
            break;
        }
        let (param, after) = word(rest);
        line.params.push(param.to_owned());
        rest = after;
    }
    Ok(line)
}

/// The text up to the next space, and what follows all spaces after it.
fn word(text: &str) -> (&str, &str) {
    match text.split_once(' ') {
        Some((first, rest)) => (first, rest.trim_start_matches(' ')),
        None => (text, ""),
    }
}

fn parse_source(text: &str) -> Source {
    let (left, host) = match text.split_once('@') {
        Some((left, host)) => (left, Some(host.to_owned())),
        None => (text, None),
    };
    let (name, user) = match left.split_once('!') {
        Some((name, user)) => (name, Some(user.to_owned())),
        None => (left, None),
    };
    Source {
        name: name.to_owned(),
        user,
        host,
    }
}

fn parse_tags(text: &str) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    for tag in text.split(';').filter(|tag| !tag.is_empty()) {
        let (key, value) = tag.split_once('=').unwrap_or((tag, ""));
        tags.insert(key.to_owned(), unescape(value));
    }
    tags
}

fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some(':') => out.push(';'),
            Some('s') => out.push(' '),
            Some('r') => out.push('\r'),
            Some('n') => out.push('\n'),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

/// The value of a tag as it stands in a line.
pub fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            ';' => out.push_str("\\:"),
            ' ' => out.push_str("\\s"),
            '\\' => out.push_str("\\\\"),
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out
}

/// A command with its parameters; the last one is always written with a colon.
pub fn format(command: &str, params: &[&str]) -> String {
    let mut line = command.to_owned();
    for (index, param) in params.iter().enumerate() {
        line.push(' ');
        if index + 1 == params.len() {
            line.push(':');
        }
        line.push_str(param);
    }
    line
}

/// The time of the `time` tag (server-time) in milliseconds since the Unix epoch.
pub fn timestamp(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (
        number(date.next()?)?,
        number(date.next()?)?,
        number(date.next()?)?,
    );
    let mut time = time.splitn(3, ':');
    let (hour, minute, second) = (number(time.next()?)?, number(time.next()?)?, time.next()?);
    let (second, fraction) = second.split_once('.').unwrap_or((second, ""));
    let second = number(second)?;
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23
        || minute > 59
        || second > 60
        || !fraction.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let millis: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some((days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000 + millis)
}

fn number(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 4 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text, tags, source, command, parameters.
    type Case<'a> = (
        &'a str,
        &'a [(&'a str, &'a str)],
        &'a str,
        &'a str,
        &'a [&'a str],
    );

    #[test]
    fn lines_of_the_specifications() {
        let cases: &[Case] = &[
            ("PING :tolsun.oulu.fi", &[], "", "PING", &["tolsun.oulu.fi"]),
            (
                ":Angel!wings@irc.org PRIVMSG Wiz :Are you there ?",
                &[],
                "Angel",
                "PRIVMSG",
                &["Wiz", "Are you there ?"],
            ),
            (
                ":WiZ JOIN #Twilight_zone",
                &[],
                "WiZ",
                "JOIN",
                &["#Twilight_zone"],
            ),
            (
                "MODE #chan +o  nick ",
                &[],
                "",
                "MODE",
                &["#chan", "+o", "nick"],
            ),
            (
                ":s 353 me = #c :@op +v x",
                &[],
                "s",
                "353",
                &["me", "=", "#c", "@op +v x"],
            ),
            ("PRIVMSG #c ::)", &[], "", "PRIVMSG", &["#c", ":)"]),
            ("PRIVMSG #c :", &[], "", "PRIVMSG", &["#c", ""]),
            ("privmsg #c : a  b ", &[], "", "PRIVMSG", &["#c", " a  b "]),
            (
                "@aaa=b\\sb\\:c\\\\;ccc;example.com/ddd=eee\\ :nick!ident@host.com PRIVMSG me :Hello",
                &[("aaa", "b b;c\\"), ("ccc", ""), ("example.com/ddd", "eee")],
                "nick",
                "PRIVMSG",
                &["me", "Hello"],
            ),
        ];
        for (text, tags, from, command, params) in cases {
            let line = parse(text.as_bytes()).expect(text);
            let found: Vec<_> = line
                .tags
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            assert_eq!(&found, tags, "{text}");
            assert_eq!(line.from(), *from, "{text}");
            assert_eq!(line.command, *command, "{text}");
            assert_eq!(line.params, *params, "{text}");
        }
    }

    #[test]
    fn sources() {
        let source = parse_source("nick!~user@host.example");
        assert_eq!(
            (
                source.name.as_str(),
                source.user.as_deref(),
                source.host.as_deref()
            ),
            ("nick", Some("~user"), Some("host.example"))
        );
        assert_eq!(
            parse_source("irc.example.org"),
            Source {
                name: "irc.example.org".into(),
                user: None,
                host: None
            }
        );
    }

    #[test]
    fn malformed_lines_are_errors() {
        for text in [
            &b""[..],
            b"   ",
            b":only.source",
            b"@tag=1",
            b"@tag :src ",
            b"P\xc3\xa4NG",
            b"PRIVMSG #a :x\0y",
            b"A B\nC",
        ] {
            assert!(parse(text).is_err(), "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_latin_1() {
        let line = parse(b":a!b@c PRIVMSG #x :caf\xe9").expect("a line");
        assert_eq!(line.last(), "caf\u{e9}");
    }

    #[test]
    fn tags_survive_the_round_trip() {
        for value in ["", "plain", "a b;c\\d\r\n", "\\s", "ü;"] {
            assert_eq!(unescape(&escape(value)), value);
        }
    }

    #[test]
    fn times() {
        let cases = [
            ("1970-01-01T00:00:00.000Z", Some(0)),
            ("2011-10-19T16:40:51.620Z", Some(1_319_042_451_620)),
            ("2024-02-29T23:59:59.999Z", Some(1_709_251_199_999)),
            ("2026-01-01T00:00:00Z", Some(1_767_225_600_000)),
            ("2026-01-01T00:00:07Z", Some(1_767_225_607_000)),
            ("2026-01-01T00:00:00.5Z", Some(1_767_225_600_500)),
            ("2026-13-01T00:00:00Z", None),
            ("yesterday", None),
            ("2026-01-01 00:00:00", None),
        ];
        for (text, expected) in cases {
            assert_eq!(timestamp(text), expected, "{text}");
        }
    }

    #[test]
    fn written_lines() {
        assert_eq!(
            format("PRIVMSG", &["#c", "hi there"]),
            "PRIVMSG #c :hi there"
        );
        assert_eq!(format("CAP", &["END"]), "CAP :END");
        assert_eq!(format("QUIT", &[]), "QUIT");
    }
}

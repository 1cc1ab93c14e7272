//! What the server says about itself in 005 (`RPL_ISUPPORT`), as far as this provider needs
//! it, with the defaults of RFC 1459. It must never hold more than it needs: it is kept in kv.

use serde::{Deserialize, Serialize};

use crate::casemap::Casemap;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isupport {
    pub casemap: Casemap,
    /// The characters that channel names begin with.
    pub chantypes: String,
    /// Mode letters and the signs before nicks, strongest first: `('o', '@')`.
    pub prefixes: Vec<(char, char)>,
    /// Signs that may stand before a channel as a target.
    pub statusmsg: String,
    /// Channel modes that always have an argument (types A and B).
    pub modes_with_argument: String,
    /// Channel modes that have one only when they are set (type C).
    pub modes_with_argument_when_set: String,
    /// Bytes of the longest user name (with the `~` before it) and host there can be.
    pub longest_user: usize,
    pub longest_host: usize,
    /// Bytes of a whole line with its line ending, tags not counted.
    pub linelen: usize,
}

impl Default for Isupport {
    fn default() -> Self {
        Self {
            casemap: Casemap::default(),
            chantypes: "#&".to_owned(),
            prefixes: vec![('o', '@'), ('v', '+')],
            statusmsg: String::new(),
            modes_with_argument: "beIk".to_owned(),
            modes_with_argument_when_set: "l".to_owned(),
            longest_user: 11,
            longest_host: 63,
            linelen: 512,
        }
    }
}

impl Isupport {
    /// One token of a 005 line: `KEY`, `KEY=value` or `-KEY`.
    pub fn read(&mut self, token: &str) {
        let default = Self::default();
        if let Some(key) = token.strip_prefix('-') {
            match key {
                "CASEMAPPING" => self.casemap = default.casemap,
                "CHANTYPES" => self.chantypes = default.chantypes,
                "PREFIX" => self.prefixes = default.prefixes,
                "STATUSMSG" => self.statusmsg = default.statusmsg,
                "LINELEN" => self.linelen = default.linelen,
                _ => {}
            }
            return;
        }
        let (key, value) = token.split_once('=').unwrap_or((token, ""));
        match key {
            "CASEMAPPING" => self.casemap = Casemap::named(value),
            "CHANTYPES" => self.chantypes = value.chars().take(16).collect(),
            "PREFIX" => self.prefixes = prefixes(value),
            "STATUSMSG" => self.statusmsg = value.chars().take(16).collect(),
            "USERLEN" => {
                self.longest_user = value
                    .parse()
                    .map_or(11, |length: usize| length.clamp(10, 63) + 1)
            }
            "HOSTLEN" => {
                self.longest_host = value
                    .parse()
                    .map_or(63, |length: usize| length.clamp(63, 255))
            }
            "LINELEN" => self.linelen = value.parse().unwrap_or(512).clamp(512, 8_192),
            "CHANMODES" => {
                let mut types = value.split(',');
                let (lists, always, when_set) = (types.next(), types.next(), types.next());
                let with_argument = [lists.unwrap_or(""), always.unwrap_or("")].concat();
                self.modes_with_argument = with_argument.chars().take(64).collect();
                self.modes_with_argument_when_set =
                    when_set.unwrap_or("").chars().take(64).collect();
            }
            _ => {}
        }
    }

    pub fn is_channel(&self, name: &str) -> bool {
        name.chars()
            .next()
            .is_some_and(|first| self.chantypes.contains(first))
    }

    /// A target without the signs of `STATUSMSG`, and these signs.
    pub fn split_statusmsg<'a>(&self, target: &'a str) -> (&'a str, &'a str) {
        let signs: usize = target
            .chars()
            .take_while(|&sign| self.statusmsg.contains(sign))
            .map(char::len_utf8)
            .sum();
        let (signs, channel) = target.split_at(signs);
        if self.is_channel(channel) {
            (channel, signs)
        } else {
            (target, "")
        }
    }

    /// A nick of `NAMES` without the signs before it, and the mode letters they mean.
    pub fn split_member<'a>(&self, name: &'a str) -> (&'a str, String) {
        let mut modes = String::new();
        let mut rest = name;
        while let Some(first) = rest.chars().next() {
            let Some(&(mode, _)) = self.prefixes.iter().find(|(_, sign)| *sign == first) else {
                break;
            };
            modes.push(mode);
            rest = &rest[first.len_utf8()..];
        }
        (rest, modes)
    }

    /// Is it a mode of a member, such as operator?
    pub fn is_member_mode(&self, mode: char) -> bool {
        self.prefixes.iter().any(|(letter, _)| *letter == mode)
    }

    pub fn has_argument(&self, mode: char, set: bool) -> bool {
        self.is_member_mode(mode)
            || self.modes_with_argument.contains(mode)
            || (set && self.modes_with_argument_when_set.contains(mode))
    }
}

fn prefixes(value: &str) -> Vec<(char, char)> {
    let Some((modes, signs)) = value
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'))
    else {
        return Vec::new();
    };
    modes.chars().zip(signs.chars()).take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let mut support = Isupport::default();
        for token in [
            "CASEMAPPING=ascii",
            "CHANTYPES=#",
            "PREFIX=(qaohv)~&@%+",
            "STATUSMSG=@+",
            "HOSTLEN=64",
            "LINELEN=1024",
            "CHANMODES=IXbegw,k,FHJLfjl,ABC",
            "WHOX",
        ] {
            support.read(token);
        }
        assert_eq!(support.casemap, Casemap::Ascii);
        assert_eq!((support.longest_host, support.linelen), (64, 1_024));
        assert_eq!(support.split_member("~@%Nick"), ("Nick", "qoh".to_owned()));
        assert_eq!(support.split_statusmsg("@#chan"), ("#chan", "@"));
        assert_eq!(support.split_statusmsg("+nick"), ("+nick", ""));
        assert!(support.has_argument('h', false) && support.has_argument('k', false));
        assert!(
            support.has_argument('l', true)
                && !support.has_argument('l', false)
                && !support.has_argument('n', true)
        );
        support.read("-LINELEN");
        support.read("-PREFIX");
        assert_eq!(support.linelen, 512);
        assert_eq!(support.prefixes.len(), 2);
    }

    #[test]
    fn nonsense_is_harmless() {
        let mut support = Isupport::default();
        for token in [
            "",
            "=",
            "-",
            "LINELEN=x",
            "LINELEN=1",
            "PREFIX=",
            "PREFIX=(ov",
            "NICKLEN=-3",
            "CHANMODES=",
            "CASEMAPPING=",
        ] {
            support.read(token);
        }
        assert_eq!(support.linelen, 512);
        assert!(support.is_channel("#x") && !support.is_channel("") && !support.is_channel("x"));
    }
}

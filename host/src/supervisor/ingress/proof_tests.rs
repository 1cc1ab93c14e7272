//! Vectors from Python's hmac and hashlib, and from its `cryptography` (OpenSSL) with keys that
//! `openssl genpkey` made.

use super::*;
use crate::domain::ingress::IngressRoute;

const BODY: &str = r#"{"event":"message","id":12345678901234567890,"time":1700000000123}"#;
const NOW: Timestamp = Timestamp(1_700_000_100_000);
const ED_PUBLIC: &str = "57c80a2d14f3058fb64795ff089d3d2974ed91c503a6a5fcadfe14ed5ef2c75a";
const ED_SPKI: &str = "-----BEGIN PUBLIC KEY-----\n\
                       MCowBQYDK2VwAyEAV8gKLRTzBY+2R5X/CJ09KXTtkcUDpqX8rf4U7V7yx1o=\n\
                       -----END PUBLIC KEY-----\n";
const EC_SPKI: &str = "-----BEGIN PUBLIC KEY-----\n\
                       MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEdAoUoKylQOtsrC1H2T8MAJ1Uh6nP\n\
                       ePpwRCXEg4Hd+bO+RbD4PnRSCPgtuiMDMmUHdD4pFl8CQiYo01gw+6fNzw==\n\
                       -----END PUBLIC KEY-----\n";

fn recipe(text: &str) -> Verify {
    let route: IngressRoute = toml::from_str(&format!("route = \"r\"\nverify = {{ {text} }}"))
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(route.check(), Ok(()), "{text}");
    route.verify
}

fn secrets() -> Vec<(String, SecretBytes)> {
    [
        ("key", "app secret"),
        ("hex", "00ff10"),
        ("base64", "AP8Q"),
        ("app", "app1"),
        ("ed", ED_SPKI),
        ("empty", ""),
    ]
    .map(|(name, value)| (name.to_owned(), SecretBytes::from(value.as_bytes())))
    .into()
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn seen<'r>(headers: &'r [(String, String)], query: Option<&'r str>, body: &'r str) -> Seen<'r> {
    Seen {
        method: "POST",
        path: "/ingress/a/b/c",
        query,
        url: Some("https://host.example/ingress/a/b/c?x=1"),
        headers,
        body: body.as_bytes(),
        now: NOW,
    }
}

/// (recipe, headers, query)
type Vector<'v> = (&'v str, &'v [(&'v str, &'v str)], Option<&'v str>);

const MAC: &str = "8b4855eb4e297435be95a9ed6a458badb5c9d06b6d967b6ffa29139ccc1f94b3";
const TIMED: &str = r#"kind = "hmac-sha256", header = "X-Sig", prefix = "sha256=", secret = "key", signed = "{timestamp}.{body}", timestamp-header = "x-time", tolerance-seconds = 300"#;
const TIMED_MAC: &str = "sha256=8b4855eb4e297435be95a9ed6a458badb5c9d06b6d967b6ffa29139ccc1f94b3";
const LISTED: &str =
    "t=1700000000,v=8b4855eb4e297435be95a9ed6a458badb5c9d06b6d967b6ffa29139ccc1f94b3";
const ED_SIGNATURE: &str = "f8e14e595b5fc46bfd137a74cd6c177b9c3ce7b36b648bf35942566778da4b83\
                            54be9fd62de648325bfb8ecd3bb3ca69965cfd769e6aa67ee87bbfa9e42eea0c";

fn vectors() -> Vec<Vector<'static>> {
    vec![
        (
            TIMED,
            &[("x-sig", TIMED_MAC), ("x-time", "1700000000")],
            None,
        ),
        (
            r#"kind = "hmac-sha256", header = "x-sig", field = "v", secret = "key", signed = "{timestamp}.{body}", timestamp-field = "t", tolerance-seconds = 300"#,
            &[("x-sig", LISTED)],
            None,
        ),
        (
            r#"kind = "hmac-sha1", query = "sign", secret = "key""#,
            &[],
            Some("a=1&sign=b793519277e4d35fd65010f16937987dcd8dd266"),
        ),
        (
            r#"kind = "hmac-sha512", header = "x-sig", encoding = "base64", secret = "key""#,
            &[(
                "x-sig",
                "OhjyKZ4GRbftEWvZozu2sVXDzc1M+TObqy98ab61pdO9xbmFTJI79r6FFwzJte97AHxQkh/c4vcR/MnG8UFlog==",
            )],
            None,
        ),
        // Without padding, in the URL's alphabet.
        (
            r#"kind = "hmac-sha256", header = "x-sig", encoding = "base64", secret = "key""#,
            &[("x-sig", "y-7pTk_UEGrSmHmjhFqsziM639z_vBI8WptdIfzR5KM")],
            None,
        ),
        (
            r#"kind = "hmac-sha256", header = "x-sig", secret = "hex", secret-encoding = "hex""#,
            &[(
                "x-sig",
                "12f54da85da5d2f2bce593e8f66a53c8e3170149e97f473050d6766d8696eb83",
            )],
            None,
        ),
        (
            r#"kind = "hmac-sha256", header = "x-sig", secret = "base64", secret-encoding = "base64""#,
            &[(
                "x-sig",
                "12F54DA85DA5D2F2BCE593E8F66A53C8E3170149E97F473050D6766D8696EB83",
            )],
            None,
        ),
        (
            r#"kind = "digest-sha256", header = "x-sig", prefix = "mac=", signed = "{secret:app}{body}{timestamp}{secret:key}", timestamp-pointer = "/time", timestamp-unit = "milliseconds", tolerance-seconds = 100"#,
            &[(
                "x-sig",
                "mac=1ac8a34a50aadb201eb1804d071751ae54e22e7d3b15848bfe5e23ac83d087bf",
            )],
            None,
        ),
        (
            r#"kind = "digest-md5", header = "x-sig", signed = "{body}{secret:key}""#,
            &[("x-sig", "645de9f60a797376a18004945071a369")],
            None,
        ),
        (
            r#"kind = "digest-sha1", header = "x-sig", signed = "{body}{secret:key}""#,
            &[("x-sig", "7def6b0d8cd2715726c03739010fc7fea9507b90")],
            None,
        ),
        (
            r#"kind = "digest-sha512", header = "x-sig", signed = "{body}{secret:key}""#,
            &[(
                "x-sig",
                "b15d0426206808deb8ffd1cf0e46c8d2d360978a136e84a373162a0c896920c23f83b2e4b553b60fb0db25fda7a1e7b94721baae5c0d251de457afdb6b153397",
            )],
            None,
        ),
        (
            r#"kind = "hmac-sha256", header = "x-sig", secret = "key", signed = "{method} {url} {header:x-v} {query:x} {body}""#,
            &[
                (
                    "x-sig",
                    "96f898fbbe5740d6b28953d1b211e714af4c3333947085cba8aee408c250d6b5",
                ),
                ("x-v", "v"),
            ],
            Some("x=1"),
        ),
        (
            r#"kind = "ed25519", header = "x-sig", public-key = "57c80a2d14f3058fb64795ff089d3d2974ed91c503a6a5fcadfe14ed5ef2c75a", signed = "{timestamp}{body}", timestamp-header = "x-time", tolerance-seconds = 300"#,
            &[("x-sig", ED_SIGNATURE), ("x-time", "1700000000")],
            None,
        ),
        (
            r#"kind = "ed25519", header = "x-sig", secret = "ed", signed = "{timestamp}{body}", timestamp-header = "x-time""#,
            &[("x-sig", ED_SIGNATURE), ("x-time", "1700000000")],
            None,
        ),
        (
            r#"kind = "ecdsa-p256", header = "x-sig", encoding = "base64", secret = "ec""#,
            &[(
                "x-sig",
                "MEYCIQDw1RTPZIe2N9wuXzWuUFHcgPrEIvl9dCID5U4tY3aXoQIhAJONew+uW+0cUbG4wpRq/lgxvHN7BfG+dcNDYB/2HbNw",
            )],
            None,
        ),
        (
            r#"kind = "ecdsa-p256", header = "x-sig", encoding = "base64", secret = "ec""#,
            &[(
                "x-sig",
                "8NUUz2SHtjfcLl81rlBR3ID6xCL5fXQiA+VOLWN2l6GTjXsPrlvtHFGxuMKUav5YMbxzewXxvnXDQ2Af9h2zcA==",
            )],
            None,
        ),
        (
            r#"kind = "token", header = "authorization", prefix = "Bearer ", secret = "key""#,
            &[("authorization", "Bearer app secret")],
            None,
        ),
        (
            r#"kind = "token", query = "t", secret = "key""#,
            &[],
            Some("t=app%20secret"),
        ),
    ]
}

fn all_secrets() -> Vec<(String, SecretBytes)> {
    let mut all = secrets();
    all.push(("ec".to_owned(), SecretBytes::from(EC_SPKI.as_bytes())));
    all
}

#[test]
fn what_others_have_signed_is_verified() {
    assert!(TIMED_MAC.ends_with(MAC) && LISTED.ends_with(MAC));
    assert_eq!(hex::decode(ED_PUBLIC).unwrap().len(), 32);
    for (text, given, query) in vectors() {
        let given = headers(given);
        let verified = verify(&recipe(text), &seen(&given, query, BODY), &all_secrets());
        assert_eq!(verified, Ok(()), "{text}");
    }
}

#[test]
fn one_changed_byte_anywhere_is_found() {
    for (text, given, query) in vectors() {
        let (recipe, secrets) = (recipe(text), all_secrets());
        let is_token = matches!(recipe, Verify::Token(_));
        if !is_token {
            for at in 0..BODY.len() {
                let mut body = BODY.as_bytes().to_vec();
                body[at] ^= 1;
                let Ok(body) = String::from_utf8(body) else {
                    continue;
                };
                let given = headers(given);
                let verified = verify(&recipe, &seen(&given, query, &body), &secrets);
                assert!(verified.is_err(), "{text}: byte {at} of the body");
            }
        }
        for (index, (name, value)) in given.iter().enumerate() {
            for at in 0..value.len() {
                let mut changed = value.as_bytes().to_vec();
                // To another digit of each encoding, but never to the same one in another case.
                changed[at] = if changed[at] == b'7' { b'2' } else { b'7' };
                let mut given = headers(given);
                given[index].1 = String::from_utf8(changed).unwrap();
                let verified = verify(&recipe, &seen(&given, query, BODY), &secrets);
                // The last digit of base64 may carry bits that are none.
                let slack = value.len() - at <= 3 && text.contains("base64");
                assert!(verified.is_err() || slack, "{text}: byte {at} of {name}");
            }
        }
    }
}

#[test]
fn what_is_missing_is_told_apart() {
    let check = |text: &str, given: &[(&str, &str)]| {
        let given = headers(given);
        verify(&recipe(text), &seen(&given, None, BODY), &secrets())
    };
    assert_eq!(
        check(TIMED, &[("x-time", "1700000000")]),
        Err(Reason::NoSignature)
    );
    assert_eq!(
        check(TIMED, &[("x-sig", MAC), ("x-time", "1700000000")]),
        Err(Reason::NoSignature),
        "without its prefix"
    );
    assert_eq!(check(TIMED, &[("x-sig", TIMED_MAC)]), Err(Reason::Stale));
    for (secret, expected) in [
        ("nobody", Err(Reason::NoSecret)),
        ("empty", Err(Reason::NoSecret)),
        ("key", Err(Reason::BadSignature)),
    ] {
        let text = format!(r#"kind = "hmac-sha256", header = "x-sig", secret = "{secret}""#);
        assert_eq!(check(&text, &[("x-sig", MAC)]), expected);
        let text = format!(r#"kind = "token", header = "x-sig", secret = "{secret}""#);
        assert_eq!(check(&text, &[("x-sig", "")]), expected);
    }
}

#[test]
fn a_replay_is_refused_at_both_ends_of_the_tolerance() {
    let given = headers(&[("x-sig", TIMED_MAC), ("x-time", "1700000000")]);
    for (now, expected) in [
        (1_700_000_300_000, Ok(())),
        (1_700_000_300_001, Err(Reason::Stale)),
        (1_699_999_700_000, Ok(())),
        (1_699_999_699_999, Err(Reason::Stale)),
    ] {
        let seen = Seen {
            now: Timestamp(now),
            ..seen(&given, None, BODY)
        };
        assert_eq!(verify(&recipe(TIMED), &seen, &secrets()), expected, "{now}");
    }
    // A time that cannot be one is none, also if it is signed.
    assert_eq!(
        fresh(Some("18446744073709551615"), TimeUnit::Seconds, 300, NOW),
        Err(Reason::Stale)
    );
    assert_eq!(
        fresh(Some("-1"), TimeUnit::Seconds, 300, NOW),
        Err(Reason::Stale)
    );
}

#[test]
fn a_secret_that_was_shown_is_not_passed_on() {
    let by_header = recipe(r#"kind = "token", header = "X-Token", secret = "key""#);
    let given = headers(&[("x-token", "app secret"), ("x-other", "1")]);
    let (kept, query) = without_token(&by_header, given, Some("a=1".to_owned()));
    assert_eq!(kept, headers(&[("x-other", "1")]));
    assert_eq!(query.as_deref(), Some("a=1"));
    let by_query = recipe(r#"kind = "token", query = "t k", secret = "key""#);
    let query = Some("a=1&t%20k=app&b=2&t+k=x".to_owned());
    let (_, query) = without_token(&by_query, Vec::new(), query);
    assert_eq!(query.as_deref(), Some("a=1&b=2"));
    let (_, query) = without_token(&by_query, Vec::new(), Some("t+k=x".to_owned()));
    assert_eq!(query, None);
}

fn challenge(text: &str) -> Challenge {
    let route: IngressRoute = toml::from_str(&format!(
        "route = \"r\"\nverify = {{ {TIMED} }}\n[challenge]\n{text}\n"
    ))
    .unwrap();
    assert_eq!(route.check(), Ok(()), "{text}");
    route.challenge.unwrap()
}

fn asked(
    challenge: &Challenge,
    method: &str,
    query: &str,
    body: &str,
) -> Option<Result<String, Reason>> {
    let seen = Seen {
        method,
        ..seen(&[], Some(query), body)
    };
    let answer = answer(challenge, &seen, &secrets())?;
    Some(answer.map(|answer| String::from_utf8(answer.body).unwrap()))
}

#[test]
fn challenges() {
    let echo = challenge(
        "query = \"hub.challenge\"\ntoken-query = \"hub.verify_token\"\ntoken-secret = \"key\"",
    );
    let good = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=app+secret";
    assert_eq!(asked(&echo, "GET", good, ""), Some(Ok("1158201444".into())));
    assert_eq!(asked(&echo, "POST", good, ""), None);
    assert_eq!(asked(&echo, "GET", "hub.verify_token=app+secret", ""), None);
    for (query, reason) in [
        (
            "hub.challenge=1&hub.verify_token=wrong",
            Reason::BadSignature,
        ),
        ("hub.challenge=1", Reason::NoSignature),
        (
            "hub.challenge=&hub.verify_token=app+secret",
            Reason::Incomplete,
        ),
        (
            "hub.challenge=%3Cb%3E&hub.verify_token=app+secret",
            Reason::Incomplete,
        ),
    ] {
        assert_eq!(asked(&echo, "GET", query, ""), Some(Err(reason)), "{query}");
    }
    let crc = challenge(
        "query = \"crc_token\"\nhmac = \"sha256\"\nsecret = \"key\"\nencoding = \"base64\"\n\
         respond = '{\"response_token\":\"sha256={hmac}\"}'",
    );
    assert_eq!(
        asked(&crc, "GET", "crc_token=crc-Token_1", ""),
        Some(Ok(
            r#"{"response_token":"sha256=lfVepJy47AtVotVs7PhrZIJu7DQnf0K9fO1nHlQ23IE="}"#.into()
        ))
    );
    // Nobody gets a body signed by asking for it.
    for text in [BODY, "{}", "a b", &"a".repeat(257)] {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("crc_token", text)
            .finish();
        assert_eq!(
            asked(&crc, "GET", &query, ""),
            Some(Err(Reason::Incomplete)),
            "{text}"
        );
    }
    let in_body = challenge("method = \"POST\"\npointer = \"/challenge\"");
    assert_eq!(
        asked(
            &in_body,
            "POST",
            "",
            r#"{"type":"url_verification","challenge":"3eZbrw1a"}"#
        ),
        Some(Ok("3eZbrw1a".into()))
    );
    assert_eq!(asked(&in_body, "POST", "", BODY), None);
}
